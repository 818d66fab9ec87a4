# SPDX-License-Identifier: Apache-2.0
"""Replicas that join and leave every few seconds, in good order and not."""
import signal

from fleet import form


def test_storm(new_run):
    run = new_run("storm")
    run.service.latency = 0.1  # so that there are open records when partitions are taken away
    links = {"properties": {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500"}}
    steady = [run.add("both", **links)]
    guests = []
    run.issue_steadily(form(60, 100))
    run.wait_flow()
    for _ in range(form(8, 100)):
        run.fault_begins()
        if len(guests) == 3 or (guests and run.rng.random() < 0.4):
            guest = guests.pop(run.rng.randrange(len(guests)))
            if run.rng.random() < 0.3:
                guest.kill()
            else:
                guest.signal(signal.SIGTERM)
                guest.process.wait_exit(0, timeout=45)
        else:
            guests.append(run.add(run.rng.choice(["producer", "consumer", "both"]), ready=False, **links))
        run.fault_ends()
        run.pause(0.5, 3.0)
    assert steady[0].process.running
    run.wait_flow()
    run.check()
