# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments and in the middle of transactions, then a new start."""
import pytest

from fleet import LONG, form

KAFKA_LATENCY_S = 0.01  # one way: transactions are open long enough to be met
VICTIMS = [("producer", "consumer"), ("both",), *form([], [("producer",), ("consumer",)])]


@pytest.mark.parametrize("victims", VICTIMS, ids="-and-".join)
def test_kill(new_run, victims):
    run = new_run("kill " + " and ".join(victims))
    _, links = run.via("kafka", latency=KAFKA_LATENCY_S)
    # A killed member keeps its partitions until its session ends: short ones make room for more kills.
    if not LONG:
        links["properties"] = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500"}
    roles = ["both"] if "both" in victims else ["producer", "consumer"]
    replicas = {role: run.add(role, **links) for role in roles}
    run.issue_steadily(form(40, 100))
    run.wait_flow()
    for number in range(form(4, 25)):
        chosen = run.rng.sample(victims, run.rng.randint(1, len(victims)))
        run.pause(0.0, 1.0)
        if number % 2 == 0:
            run.spy("documents" if chosen[0] == "producer" else "entities").wait()
            run.pause(0.0, 0.05)
        run.fault_begins()
        for victim in chosen:
            replicas[victim].kill()
        run.pause(0.0, 0.5)
        for victim in chosen:
            replicas[victim].start()
        run.fault_ends()
        if not LONG or number % 3 != 1:  # else the next one comes while this one is being got over
            run.wait_flow()
    run.wait_flow()
    account = run.check()
    assert account.aborted > 0, "no kill met an open transaction: the run shows little"
