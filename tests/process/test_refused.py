"""Everything is refused for a while, in each way at once, each to a worker of its own with a job:
all of them go on, hand in what their jobs have made, and end well."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from tests.amounts import PATIENCE, THOROUGH, amount
from tests.command_line import DIRJOBS, environment, wait_until
from tests.faults.refusals import HTTP, Away, mount, unmount
from tests.servers import apache
from tests.servers.forwarding import forwarding
from tests.servers.samba import Samba

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="folders are moved under servers")

LASTS = amount(2, 60)
"""Seconds for which everything is refused."""
EACH_DAY = {"disk, empty folder", "mount, unmounted", "apache, login page", "samba, no such share"}


@dataclass(frozen=True)
class Refused:
    """A worker's queue, and how to have everything refused there.

    Attributes:
        name: the store and the way.
        url: the queue, as the worker gets to it.
        root: the queue on this machine.
        begin, end: what is done.
        command: what runs `dirjobs`.
        env: the worker's login.
    """

    name: str
    url: str
    root: Path
    begin: Callable[[], object]
    end: Callable[[], object]
    command: tuple[str, ...] = tuple(DIRJOBS)
    env: Mapping[str, str] = field(default_factory=dict)


def on_disk(folder: Path) -> Iterator[Refused]:
    for name in ("EACCES", "ENOTCONN", "ESTALE", "ENOSPC"):
        flag = folder / f"{name}.flag"
        command = (sys.executable, "-m", "tests.process.refused_worker", str(flag))
        command += (str(getattr(errno, name)),)
        root = folder / name
        yield Refused(f"disk, {name}", str(root), root, flag.touch, flag.unlink, command)
    for way in ("renamed", "empty folder", "another queue"):
        root = folder / way
        away = Away(root, way, None)
        yield Refused(f"disk, {way}", str(root), root, away.begin, away.end)


@contextmanager
def on_a_mount(folder: Path) -> Iterator[list[Refused]]:
    share, place = folder / "share", folder / "mount"
    for one in (share, place):
        one.mkdir()
    if os.geteuid() != 0 or not mount(share, place):
        yield []
        return
    try:
        away = Away(place / "jobs", "unmounted", share)
        url = str(place / "jobs")
        yield [Refused("mount, unmounted", url, share / "jobs", away.begin, away.end)]
    finally:
        unmount(place)


@contextmanager
def on_apache() -> Iterator[list[Refused]]:
    with ExitStack() as stack:
        server = stack.enter_context(apache.running(auth=None))
        path = server.url.partition(str(server.port))[2]
        found = []
        for name, way in HTTP.items():
            on = Event()
            answer = lambda way=way, on=on: way.answer if on.is_set() else None  # noqa: E731
            port = stack.enter_context(forwarding(server.port, answer))
            url = f"http://127.0.0.1:{port}{path}/{name.replace(' ', '-')}"
            root = server.root / name.replace(" ", "-")
            found.append(Refused(f"apache, {name}", url, root, on.set, on.clear))
        for way_name in ("renamed", "empty folder", "another queue"):
            plain = way_name.replace(" ", "-")
            away = Away(server.root / plain, way_name, None)
            url, root = f"{server.url}/{plain}", server.root / plain
            found.append(Refused(f"apache, {way_name}", url, root, away.begin, away.end))
        yield found


@contextmanager
def on_samba() -> Iterator[list[Refused]]:
    with ExitStack() as stack:
        server = stack.enter_context(Samba())
        found = []
        for way in ("renamed", "empty folder", "another queue"):
            root = server.root / way.replace(" ", "-")
            away = Away(root, way, None)
            url = f"{server.url}/{root.name}"
            env = {"FSSPEC_SMB_PASSWORD": server.password}
            found.append(Refused(f"samba, {way}", url, root, away.begin, away.end, env=env))
        for way in ("no such share", "no access", "no logon", "disk full"):
            if not THOROUGH and f"samba, {way}" not in EACH_DAY:
                continue
            if way == "disk full" and os.geteuid() != 0:
                continue
            one = stack.enter_context(Samba(tiny=(1 << 20) * (way == "disk full")))
            begin, end = _samba_refuses(one, way)
            env = {"FSSPEC_SMB_PASSWORD": one.password}
            url, root = f"{one.url}/jobs", one.root / "jobs"
            found.append(Refused(f"samba, {way}", url, root, begin, end, env=env))
        yield found


def _samba_refuses(server: Samba, way: str) -> tuple[Callable[[], None], Callable[[], None]]:
    filler = server.root / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    if way == "disk full":
        return fill, filler.unlink
    if way == "no logon":
        return lambda: server.enable(False), lambda: server.enable(True)
    changed = {
        "no such share": {"share": "another share"},
        "no access": {"share_extra": "valid users = nobody"},
    }[way]
    before = server.settings(changed)
    return lambda: server.restart_with(changed), lambda: server.restart_with(before)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Refused]]:
    before = os.umask(0)  # servers of other users work in our folders
    try:
        with on_a_mount(tmp_path) as mounts, on_apache() as far, on_samba() as shares:
            found = [*on_disk(tmp_path), *mounts, *far, *shares]
            yield found if THOROUGH else [one for one in found if one.name in EACH_DAY]
    finally:
        os.umask(before)


@pytest.mark.timeout(4 * PATIENCE)
def test_all_go_on_and_hand_in(places, tmp_path, figures):
    workers = []
    try:
        for place in places:
            for folder in ("00_waiting", "01_running", "02_done", "99_failed"):
                (place.root / folder).mkdir(parents=True)
            (place.root / "00_waiting" / "a").write_bytes(b"data")
            begun, go = (tmp_path / f"{place.name}.{step}" for step in ("begun", "go"))
            script = (
                f"echo said; touch '{begun}'; until [ -e '{go}' ]; do sleep 0.1; done;"
                ' echo 1 > "$DIRJOBS_OUT/a.txt"'
            )
            with (tmp_path / f"{place.name}.err").open("wb") as errors:
                process = subprocess.Popen(
                    [*place.command, "work", place.url, "--", "sh", "-c", script],
                    cwd=Path(__file__).parents[2],
                    env=environment(DIRJOBS_SCRATCH=str(tmp_path / "scratch"), **place.env),
                    stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                )  # fmt: skip
            workers.append((place, process, begun, go))
        for _, process, begun, _ in workers:
            wait_until(lambda p=process, b=begun: b.exists() or p.poll() is not None)
        for place, _, _, go in workers:
            place.begin()
            go.touch()
        Event().wait(LASTS)
        for place, *_ in workers:
            place.end()
        codes = {place.name: process.wait(PATIENCE) for place, process, *_ in workers}
    finally:
        for _, process, *_ in workers:
            process.kill()
            process.wait()
    bad = []
    for place in places:
        told = (tmp_path / f"{place.name}.err").read_text()
        result = next((place.root / "results" / "a").glob("*/a.txt"), None)
        done = os.listdir(place.root / "02_done") == ["a"]
        is_handed_in = done and result is not None and result.read_bytes() == b"1\n"
        figures(f"{place.name}: exit {codes[place.name]}{', handed in' * is_handed_in}")
        if codes[place.name] or not is_handed_in or "Traceback" in told:
            bad.append((place.name, told))
    assert not bad
