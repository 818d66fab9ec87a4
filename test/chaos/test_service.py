# SPDX-License-Identifier: Apache-2.0
"""An entity service that throttles, fails, answers nonsense or not at all."""
import json
import time
from collections import Counter

import pytest

from fleet import form
from ledger import read_record

TOLD_TIMEOUT_S = 20
GRACE_S = 1.0  # requests that were under way when the answer was given, on a busy machine
RETRY_AFTER_S = 3


def wait_trouble(replica):
    """Until the pipeline says what stands in its way."""
    deadline = time.monotonic() + TOLD_TIMEOUT_S
    while time.monotonic() < deadline:
        pipeline = next(p for p in replica.pipelines() if p["name"] == "recognise")
        if "trouble" in pipeline:
            return pipeline
        time.sleep(0.05)
    raise AssertionError(f"no trouble told in {TOLD_TIMEOUT_S} s: {json.dumps(pipeline)}")


def check_retry_after(asked):
    """Nobody asks between the grace after a 429 and its Retry-After's end."""
    told = [request.answered for request in asked if request.how == "429"]
    assert told, "nobody was told to wait"
    for request in asked:
        early = [at for at in told if at + GRACE_S < request.at < at + RETRY_AFTER_S]
        assert not early, f"asked {request.at - early[0]:.2f} s after being told to wait for {RETRY_AFTER_S} s"


def test_a_service_that_throttles_is_asked_when_it_said(new_run):
    run = new_run("service 429")
    run.service.latency = 0.02
    run.add("producer")
    consumer = run.add("consumer")
    run.issue_steadily(40)
    run.wait_flow()
    for _ in range(form(2, 20)):
        run.fault_begins()
        run.service.fault("429", retry_after=RETRY_AFTER_S)
        pipeline = wait_trouble(consumer)
        assert pipeline["trouble"]["code"] == "throttled" and pipeline["trouble"]["next_attempt_at"]
        run.pause(RETRY_AFTER_S, 2 * RETRY_AFTER_S)
        run.service.heal()
        run.fault_ends()
        run.wait_flow()
    run.check()
    check_retry_after(run.service.asked)


# How it fails, and how many such answers it takes at least until a mail is a dead letter; None: it waits for ever.
ATTEMPTS = 8
FAULTS = {
    "503": None, "500": ATTEMPTS, "garbage": ATTEMPTS, "huge": 1, "close": None, "half": None, "silence": ATTEMPTS}


def check_dead_letters(run):
    """No mail is a dead letter but for as many wrong answers as that takes."""
    answers = {}
    for request in run.service.asked:
        answers.setdefault(request.identity, Counter())[request.how] += 1
    for message in run.kafka.read(run.topics["dead"]):
        identity, _ = read_record(message.value())
        counted = sum(count for how, count in answers[identity].items() if FAULTS.get(how) == ATTEMPTS)
        about = {name: value.decode() for name, value in message.headers()}
        assert answers[identity]["huge"] or counted >= ATTEMPTS, f"{identity}: {answers[identity]}, yet {about}"


@pytest.mark.parametrize("mixed", form([False], [False, True]), ids=["one-by-one", "mixed"][:form(1, 2)])
def test_a_service_that_fails(new_run, mixed):
    run = new_run("service faults mixed" if mixed else "service faults")
    run.service.latency = 0.02
    run.add("producer")
    run.add("consumer", attempts=ATTEMPTS, sink={"timeout": "1s"})
    run.issue_steadily(40)
    run.wait_flow()
    for how in list(FAULTS) * form(1, 10):
        run.fault_begins()
        if mixed:
            run.service.fault(*FAULTS, share=0.3)
        else:
            run.service.fault(how)
        run.pause(1.0, form(1.5, 10.0))
        run.service.heal()
        run.fault_ends()
        run.wait_flow()
    run.check(dead=True)
    check_dead_letters(run)
