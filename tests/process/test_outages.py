"""The server goes away and comes back: workers wait, and nobody takes them for dead."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from dirjobs.layout import DONE
from tests.process.backends import BACKENDS
from tests.process.crew import H, W, until

P = 2.0
LEASE = 2 * H + 3 * W + P
JOBS = 60


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "posix"], indirect=True)
def test_the_server_is_away_for_two_leases(place, server, crew):
    """Workers wait and say so once, nobody is declared dead, all jobs are done."""
    place.options |= {"max_pause": P, "lease": LEASE}
    place.fill(JOBS)
    # A worker that is only beginning would not wait: its address may be wrong.
    gate = crew.folder / "gate"
    workers = [crew.start(f"w{n}", work=0.3, until=str(gate)) for n in range(4)]
    until(lambda: all(map(crew.journal, workers)))
    gate.touch()
    until(lambda: len(place.files(DONE)) > 5)
    server.stop()
    threading.Event().wait(2 * LEASE)  # the length of the outage
    server.start()
    for tag in workers:
        assert crew.wait(tag) == 0, crew.errors(tag)
    place.assert_each_done_once(JOBS)
    assert place.deaths() == {}
    for tag in workers:
        assert crew.told("waiting until it can", tag) <= 1
        assert crew.told("no heartbeat could be written", tag) <= 1
    assert crew.told("waiting until it can") >= 1
    starts = Counter(e["job"] for e in crew.journal() if e["event"] == "start")
    assert max(starts.values()) == 1
