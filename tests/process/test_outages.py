"""The server goes away and comes back: workers wait, and nobody takes them for dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter

import pytest

from dirjobs import DirJobs, StoreError
from dirjobs.layout import DONE
from dirjobs.protocol.outage import QueueAway
from tests.amounts import PATIENCE, amount
from tests.process.crew import TIMES, until

JOBS = 60
SERVERS = ["apache", "openssh", "samba"]
NOTICED = ("waiting until it can", "no heartbeat could be written")
"""What a worker says, once each, when it can't get to its queue."""


@pytest.mark.parametrize("backend", SERVERS[: amount(2, 3)], indirect=True)
def test_the_server_is_away_for_two_leases(place, server, crew):
    """Workers wait and say so once, nobody is declared dead, all jobs are done."""
    place.fill(JOBS)
    # A worker that is only beginning would not wait: its address may be wrong.
    gate, ahead = crew.folder / "gate", crew.folder / "ahead"
    orders = {"work": 0.3, "until": str(gate), "ahead": str(ahead)}
    workers = [crew.start(f"w{n}", **orders) for n in range(4)]
    until(lambda: all(map(crew.journal, workers)))
    gate.touch()
    until(lambda: len(place.files(DONE)) > 5)
    server.stop()
    until(lambda: all(any(crew.told(said, tag) for said in NOTICED) for tag in workers))
    until(lambda: crew.told(NOTICED[0]))
    ahead.with_suffix(".new").write_text(str(2 * TIMES["lease"]))
    ahead.with_suffix(".new").rename(ahead)  # so long it has been, by all clocks
    server.start()
    for tag in workers:
        assert crew.wait(tag) == 0, crew.errors(tag)
    place.assert_each_done_once(JOBS)
    assert place.deaths() == {}
    for tag in workers:
        assert all(crew.told(said, tag) <= 1 for said in NOTICED)
    starts = Counter(e["job"] for e in crew.journal() if e["event"] == "start")
    assert max(starts.values()) == 1


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount")
def test_a_mount_that_is_gone_for_a_while(tmp_path):
    """Unmounted while a job runs: nothing is made at the bare mount point."""
    share, mount = tmp_path / "share", tmp_path / "mount"
    for folder in (share, mount):
        folder.mkdir()
    bind = ["mount", "--bind", share, mount]
    if subprocess.run(bind, capture_output=True, check=False).returncode:
        pytest.skip("no mounts here")
    try:
        with DirJobs(mount / "queue", create=True) as queue:
            queue.add("a.txt")
            job = queue.next_and_lock()
            subprocess.run(["umount", "--lazy", mount], check=True)
            done = threading.Thread(target=job.done)
            done.start()
            until(lambda: queue._generation.presence.is_away)
            with pytest.raises(QueueAway):
                queue._membership.beat()
            with pytest.raises(StoreError):
                queue.add("b.txt")
            assert os.listdir(mount) == []
            subprocess.run(bind, check=True)
            done.join(PATIENCE)
            assert not done.is_alive()
            assert os.listdir(mount / "queue" / DONE) == ["a.txt"]
    finally:
        subprocess.run(["umount", "--lazy", mount], check=False)
