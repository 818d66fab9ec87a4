# SPDX-License-Identifier: Apache-2.0
"""A Microsoft Graph that throttles, fails, cuts, repeats itself and forgets where its callers were."""
from fleet import form
from harness import http

# What POST /sim/v1/faults of sim-graph takes.
FAULTS = {
    "429": {"call": "delta", "status": 429, "code": "tooManyRequests", "retry_after": 1, "count": 4},
    "503": {"call": "any", "status": 503, "retry_after": 1, "count": 4},
    "500": {"call": "delta", "status": 500, "count": 3},
    "401": {"call": "delta", "status": 401, "code": "InvalidAuthenticationToken", "count": 2},
    "token": {"call": "token", "status": 503, "count": 2},
    "cut": {"call": "delta", "cut": True, "count": 8},
    "garbage": {"call": "delta", "garbage": True, "count": 3},
    "slow": {"call": "delta", "slow": 700, "count": 8},
    "duplicate": {"call": "delta", "duplicate": True, "percent": 70, "count": 40},
    "expire": {"call": "delta", "expire": True, "count": 4},
    "expire all": {"call": "delta", "expire": "all", "count": 1},
}


def test_graph(new_run):
    run = new_run("graph")
    producer = run.add("producer", source={"concurrency": 4})
    run.add("consumer")
    run.issue_steadily(form(40, 60))
    run.wait_flow()
    faults = list(FAULTS) * form(1, 12)
    run.rng.shuffle(faults)
    for number, name in enumerate(faults):
        run.fault_begins()
        fault = dict(FAULTS[name])
        status, _, body = http("POST", f"{run.graph}/sim/v1/faults", fault)
        assert status == 201, body
        run.pause(*form((0.5, 1.5), (2.0, 8.0)))
        assert http("DELETE", f"{run.graph}/sim/v1/faults")[0] in (200, 204)
        if number % 4 == 3:  # a read from the beginning together with a crash: what was seen lives in Kafka alone
            producer.kill()
            producer.start()
        run.fault_ends()
        if number % 2:
            run.wait_flow()
    run.wait_flow()
    run.check()
