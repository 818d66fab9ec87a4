# SPDX-License-Identifier: Apache-2.0
"""A replica that stands still for longer than its transactions and its membership may, while another takes over."""
import signal

import pytest

from fleet import form

STILL_S = 12.0  # at least; transactions and sessions time out after 10 s
STOP_S = 45


@pytest.mark.parametrize("roles", form([("producer", "consumer")], [("producer",), ("consumer",)]), ids="-and-".join)
def test_zombie(new_run, roles):
    run = new_run("zombie " + " and ".join(roles))
    _, links = run.via("kafka", latency=0.01)
    # So something is under way at any moment: what a zombie finds when it wakes up is an answer from before.
    _, graph = run.via("graph", latency=0.3)
    links.update(graph)
    run.service.latency = 0.3
    owners = {role: run.add(role, **links) for role in ("producer", "consumer")}
    run.issue_steadily(40)
    run.wait_flow()
    for number in range(form(1, 10)):
        run.pause(0.0, 0.5)
        run.fault_begins()
        # One in an open transaction, where there are two: the other at any moment, mostly before one.
        for role in sorted(roles, key=lambda role: (number + roles.index(role)) % 2, reverse=True):
            if (number + roles.index(role)) % 2:
                run.spy("documents" if role == "producer" else "entities").wait()
            owners[role].signal(signal.SIGSTOP)
        others = {role: run.add(role, ready=False, **links) for role in roles}
        run.pause(STILL_S, form(STILL_S, 2 * STILL_S))
        run.wait_flow()  # the others took over
        for role in roles:
            owners[role].signal(signal.SIGCONT)
        run.fault_ends()
        run.wait_flow()
        run.pause(2.0, 3.0)
        for role in roles:
            owners[role].process.wait_ready(f"http://127.0.0.1:{owners[role].port}/readyz", timeout=60)
            owners[role].signal(signal.SIGTERM)
            owners[role].process.wait_exit(0, timeout=STOP_S)
        owners.update(others)
    run.check()
