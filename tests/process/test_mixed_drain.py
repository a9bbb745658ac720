"""One queue from several sides: its workers come by path, SFTP, SMB and WebDAV at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dirjobs import DirJobs
from dirjobs.layout import DONE
from tests.amounts import amount
from tests.process.drain import Drain, payload, wait_until
from tests.servers.apache import Apache
from tests.servers.child import running_in_new_folder
from tests.servers.samba import Samba
from tests.servers.sshd import OpenSsh, running

JOBS = amount(120, 400)


@pytest.fixture
def doors() -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """A folder, and what makes a `DirJobs` of it through each door."""
    with ExitStack() as stack:
        samba = stack.enter_context(Samba())
        samba.base.chmod(0o755)
        sshd = stack.enter_context(running(OpenSsh))
        root = samba.root / "jobs"
        root.mkdir()
        apache = stack.enter_context(
            running_in_new_folder("apache", lambda home: Apache(home, root=root))
        )
        login = {"username": apache.user, "password": apache.password}
        place = f"sftp://{sshd.user}@{sshd.host}:{sshd.port}{root}"
        yield (
            root,
            [
                {"jobsdir": str(root)},
                {"jobsdir": place, "storage_options": sshd.options},
                {"jobsdir": f"{samba.url}/jobs", "storage_options": samba.options},
                {"jobsdir": apache.url, "storage_options": login},
            ],
        )


def test_eight_workers_through_four_doors(
    doors: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Two of them are killed; what they had at hand is started once more, and nothing else."""
    root, places = doors
    DirJobs(root, create=True).close()
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o777)  # Apache's workers are another user
    jobs = [f"job{number}.txt" for number in range(JOBS)]
    with Drain(tmp_path, root) as drain:
        drain.put(*jobs)
        for settings in [*places, *places]:
            drain.start(1, **settings, heartbeat=1.0)
        wait_until(lambda: len(drain.names(DONE)) > JOBS // 8, drain.log)
        killed = [drain.workers.pop(1), drain.workers.pop(1)]
        for worker in killed:
            worker.kill()
            worker.wait()
        wait_until(lambda: len(drain.names(DONE)) == JOBS, lambda: f"{drain.left()}{drain.log()}")
        drain.end()
        assert not drain.left()
        assert drain.names(DONE) == sorted(jobs)
        starts = drain.starts()
        assert set(starts) == set(jobs)
        again = {job for job, count in starts.items() if count > 1}
        dones = [words[1] for words in drain.records() if words[0] == "done"]
        assert len(again) <= len(killed), again
        assert all(starts[job] == 2 for job in again)
        assert len(dones) == len(set(dones))
        for job in jobs:
            assert (root / DONE / job).read_bytes() == payload(job)
