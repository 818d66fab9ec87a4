# SPDX-License-Identifier: Apache-2.0
"""kill -9 of brokers and their return: the only one, and one of three where two suffice."""
import pytest

from fleet import form


# Kafka's default, not the second of test/kafka: see "Where Kafka itself doubles" in README.md.
ABORTS = "transaction.abort.timed.out.transaction.cleanup.interval.ms=10000"


@pytest.mark.parametrize("nodes", [1, 3])
def test_broker(new_run, kafka_bed, monkeypatch, nodes):
    if nodes == 1:
        monkeypatch.setenv("FRAGUA_KAFKA_EXTRA", ABORTS)
    run = new_run(f"broker 1 of {nodes}", kafka_bed.start(nodes))
    run.add("producer")
    run.add("consumer")
    run.issue_steadily(form(40, 60))
    run.wait_flow()
    for number in range(form(1, 15)):
        node = run.rng.randrange(nodes)
        run.pause(0.0, 1.0)
        run.spy(["documents", "entities"][number % 2]).wait()
        run.fault_begins()
        kafka_bed.kill(node)
        if nodes > 1:
            run.wait_flow()  # two of three are enough
            run.fault_ends()  # so it is over when the others have taken over
        else:
            run.pause(0.0, form(3.0, 20.0))
        kafka_bed.up(node)
        if nodes == 1:
            run.fault_ends()
        run.wait_flow()
        run.pause(*form((0.0, 1.0), (5.0, 10.0)))  # back among the in-sync replicas, mostly
    run.check()
