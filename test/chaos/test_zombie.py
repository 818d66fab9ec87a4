# SPDX-License-Identifier: Apache-2.0
"""A replica that stands still for longer than its transactions and its membership may, while another takes over."""
import signal

import pytest

STILL_S = 14  # transactions and sessions time out after 10 s


@pytest.mark.parametrize("role", ["producer", "consumer"])
def test_zombie(new_run, form, role):
    run = new_run(f"zombie {role}")
    _, links = run.via("kafka", latency=0.02)
    first = run.add(role, **links)
    other = run.add("consumer" if role == "producer" else "producer", **links)
    spares = []
    run.issue_steadily(40)
    run.wait_flow()
    for _ in range(form(1, 10)):
        run.spy("documents" if role == "producer" else "entities").wait()
        run.fault_begins()
        first.signal(signal.SIGSTOP)
        spares.append(run.add(role, ready=False, **links))
        run.wait_flow()  # it took over
        run.pause(*form((STILL_S / 4, STILL_S / 3), (STILL_S / 2, STILL_S)))
        first.signal(signal.SIGCONT)
        run.fault_ends()
        run.wait_flow()
        run.pause(2.0, 3.0)
        first.process.wait_ready(f"http://127.0.0.1:{first.port}/readyz", timeout=60)
        first, spare = spares.pop(), first
        spare.signal(signal.SIGTERM)
        spare.process.wait_exit(0, timeout=45)
    assert other.process.running
    run.check()
