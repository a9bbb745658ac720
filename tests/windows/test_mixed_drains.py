"""One queue, two workers on Windows and two on Linux: each job is started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dirjobs import DirJobs
from tests.amounts import amount
from tests.process.drain import THIS_PYTHON, Drain, Python
from tests.servers import apache
from tests.servers.samba import Samba

JOBS = amount(60, 200)
# What Wine 8 starts can't use a file as its standard output.
THROUGH_A_PIPE = ["bash", "-c", 'exec "$@" > >(exec cat) 2>&1', "bash"]
Settings = dict[str, Any]
Place = tuple[Path, Settings, Settings]
"""A queue on this machine, and what makes a `DirJobs` of it on Linux and on Windows."""


@contextmanager
def in_a_folder(folder: Path, python: Python) -> Iterator[Place]:
    root = folder / "jobs"
    yield root, {"jobsdir": str(root)}, {"jobsdir": python.spelled(root)}


@contextmanager
def on_apache(python: Python, *, tls: bool) -> Iterator[Place]:
    with apache.running(tls=tls) as server:
        login = {"username": server.user, "password": server.password}
        on_windows = dict(login)
        if server.ca:
            login["ca"] = str(server.ca)
            on_windows["ca"] = python.spelled(server.ca)
        there = {"jobsdir": f"{server.url}/jobs"}
        yield (
            server.root / "jobs",
            there | {"storage_options": login},
            there | {"storage_options": on_windows},
        )


@contextmanager
def on_samba(*, unc: bool) -> Iterator[Place]:
    with Samba() as server:
        there = {"jobsdir": f"{server.url}/jobs", "storage_options": server.options}
        windows = dict(there)
        if unc:
            windows["jobsdir"] = rf"\\127.0.0.1\{server.share}\jobs"
            windows["storage_options"] = {
                **server.options,
                "username": server.user,
                "port": server.port,
            }
        yield server.root / "jobs", there, windows


PLACES = ["folder", "http", "https", "smb", "unc"]


@pytest.mark.parametrize("mode", ["trust", "verify"])
@pytest.mark.parametrize("kind", PLACES)
def test_each_job_is_started_once(
    kind: str, mode: str, windows_python: Python, tmp_path: Path
) -> None:
    windows = replace(windows_python, command=[*THROUGH_A_PIPE, *windows_python.command])
    places: dict[str, AbstractContextManager[Place]] = {
        "folder": in_a_folder(tmp_path, windows_python),
        "http": on_apache(windows_python, tls=False),
        "https": on_apache(windows_python, tls=True),
        "smb": on_samba(unc=False),
        "unc": on_samba(unc=True),
    }
    with places[kind] as (root, here, on_windows):
        DirJobs(create=True, **here).close()
        records = tmp_path / "records"
        records.mkdir()
        with Drain(records, root, mode=mode) as drain:
            drain.start(2, by=windows, **on_windows)
            drain.start(2, by=THIS_PYTHON, **here)
            drain.wait_until_ready()
            jobs = [f"job{number}.txt" for number in range(JOBS)]
            drain.put(*jobs)
            drain.end()
            drain.check(*jobs, mode=mode)
        for number in (1, 3):  # on Windows, and here
            did = [(records / f"w{number + twin}.record").read_text() for twin in (0, 1)]
            assert any("done" in text for text in did), did
