# SPDX-License-Identifier: Apache-2.0
"""A network that is slow, breaks, swallows and cuts, on each link by itself: to Kafka, to Graph, to the service."""
import pytest

from fleet import form

# What Proxy.set() takes, and for how long at most in the short form and in the long one.
TOXICS = {
    "latency": dict(latency=0.1, jitter=0.1),
    "slow": dict(rate=20_000),
    "reset": dict(reset=True),
    "hole": dict(hole="both"),
    "lost answers": dict(hole="down"),
    "cut": dict(cut=3000),
    "slice": dict(slice=7, latency=0.0002),
    "slow close": dict(slow_close=2.0, cut=20_000),
    "refuse": dict(refuse=True),
}

OUTLAST_S = 12.0  # transactions time out after 10 s
# A link that is slow for 25 s lets some time out again and again while others are answered. That makes dead letters
# after few attempts, as it should: 3 of 39,252 mails after five.
ATTEMPTS = 50


@pytest.mark.parametrize("link", ["kafka", "graph", "service"])
def test_network(new_run, link):
    run = new_run(f"network {link}")
    proxies, links = run.via(link)
    run.add("producer", **links, source={"concurrency": 8})
    run.add("consumer", **links, sink={"timeout": "2s"}, attempts=ATTEMPTS)
    run.issue_steadily(form(30, 60))
    run.wait_flow()
    toxics = list(TOXICS) * form(1, 4)
    run.rng.shuffle(toxics)
    for name in toxics:
        # The answer to a commit is what must get lost, and for longer than a transaction may last.
        outlast = link == "kafka" and name == "lost answers"
        if outlast:
            run.spy(run.rng.choice(["documents", "entities"])).wait()
        run.fault_begins()
        for proxy in proxies:
            proxy.set(**TOXICS[name])
        run.pause(*((OUTLAST_S, OUTLAST_S + 2) if outlast else form((1.0, 2.0), (5.0, 25.0))))
        for proxy in proxies:
            if TOXICS[name].get("hole") and run.rng.random() < 0.5:
                proxy.reset()  # what was swallowed is lost; else it arrives late
            proxy.heal()
        run.fault_ends()
        run.wait_flow()
    run.check()
    assert sum(proxy.connections for proxy in proxies) > len(toxics), "connections were not made anew"
