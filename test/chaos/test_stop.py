# SPDX-License-Identifier: Apache-2.0
"""SIGTERM under load: drained and ended within limits.stop; a second one: at once; nothing is lost either way."""
import signal
import time

from fleet import form

STOP_S = 6
EXIT_S = 3 * STOP_S  # limits.stop, and time to close on a busy machine
AT_ONCE_S = STOP_S - 0.5


def test_stop(new_run):
    run = new_run("SIGTERM once and twice")
    run.service.latency = 0.02
    replica = run.add("both", limits={"stop": f"{STOP_S}s"})
    run.issue_steadily(form(60, 100))
    run.wait_flow()
    for number in range(form(4, 40)):
        twice, hanging = bool(number & 1), bool(number & 2)
        if hanging:
            run.service.fault("silence")  # then draining cannot come to its end
        run.pause(0.2, 1.5)
        run.fault_begins()
        began = time.monotonic()
        replica.signal(signal.SIGTERM)
        if twice:
            replica.process.wait_log("draining")  # two signals at once would be one
            replica.signal(signal.SIGTERM)
        replica.process.wait_exit(0, timeout=EXIT_S * 3)
        took = time.monotonic() - began
        assert took <= (AT_ONCE_S if twice else EXIT_S), f"{took:.1f} s until the end"
        run.service.heal()
        replica.start()
        run.fault_ends()
        run.wait_flow()
    run.check()
