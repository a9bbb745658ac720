"""Exactly once: many processes drain a WebDAV queue while a producer adds to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dirjobs import DirJobs
from tests.amounts import THOROUGH, amount
from tests.conftest import Figures
from tests.fake_webdav import PERSONALITIES
from tests.fake_webdav.fixtures import serve_fake
from tests.process.webdav_worker import Drained, content, workers
from tests.servers.apache import apache

__all__ = ["apache", "serve_fake"]

WORKERS = amount(4, 8)
FOLDERS = ("00_waiting", "01_running", "02_done", "99_failed", "_queue/parked")


def names(count):
    return [f"job {number}.txt" for number in range(1, count + 1)]


def drained(folder: Path, url: str, jobs: list[str], share: float = 0.5, **settings) -> Drained:
    """A `share` of `jobs` is there when the workers start, the others are added meanwhile."""
    options = settings.get("storage_options")
    with DirJobs(url, wid="producer", job_ext="", storage_options=options, create=True) as producer:
        first = int(share * len(jobs))
        for name in jobs[:first]:
            producer.add(name, content(name))
        with workers(folder, url, WORKERS, **settings) as finish:
            for name in jobs[first:]:
                producer.add(name, content(name))
            (folder / "all_added").touch()
            done = finish()
        # What the last worker to end has put back is for the next one to come.
        for wid in range(WORKERS + 1, WORKERS + 4):
            if not producer.status().waiting:
                break
            with workers(folder, url, 1, first=wid, **settings) as finish:
                again = finish()
            done.started += again.started
            done.torn += again.torn
            done.unfinished += again.unfinished
            done.decided += again.decided
    return done


def on_disk(root: Path) -> dict[str, dict[str, bytes]]:
    return {
        folder: {path.name: path.read_bytes() for path in (root / folder).iterdir()}
        for folder in FOLDERS
    }


def in_fake(server) -> dict[str, dict[str, bytes]]:
    return {folder: server.files(folder) for folder in FOLDERS}


def assert_exactly_once(done: Drained, jobs: list[str], there: dict[str, dict[str, bytes]]) -> None:
    assert done.torn == done.unfinished == []
    assert dict(done.started) == dict.fromkeys(jobs, 1)
    assert there["02_done"] == {name: content(name) for name in jobs}
    assert there["00_waiting"] == there["01_running"] == there["99_failed"] == {}


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_all_jobs_on_apache(apache, tmp_path, mode):
    jobs = names(amount(150, 1000))
    login = {"username": apache.user, "password": apache.password}
    done = drained(tmp_path, apache.url, jobs, mode=mode, storage_options=login)
    there = on_disk(apache.root)
    assert_exactly_once(done, jobs, there)
    assert there["_queue/parked"] == {}


COPYING = [PERSONALITIES[name] for name in ("copying_lenient", "copying_strict", "copying_liar")]
_MEETING = 0.02
"""Seconds: windows are open for longer than requests take, so that workers do meet in them."""

EACH_DAY = COPYING if THOROUGH else COPYING[-1:]
BOTH_PROCEED = replace(PERSONALITIES["both_proceed"], gap=_MEETING)


def tell(figures: Figures, done: Drained, there) -> None:
    rules = ", ".join(f"{count} x {rule}" for rule, count in sorted(done.decided.items()))
    parked, unfinished = len(there["_queue/parked"]), len(done.unfinished)
    figures(
        f"{rules or 'nothing to decide'}; {parked} copies parked, {unfinished} taken unfinished"
    )


@pytest.mark.parametrize("personality", EACH_DAY, ids=lambda each: each.name)
def test_verify_is_right_where_a_move_across_folders_copies(
    serve_fake, tmp_path, personality, figures
):
    """The first of the two renames decides; the looks see what a liar said yes to."""
    server = serve_fake(personality)
    jobs = names(amount(100, 200))
    done = drained(tmp_path, server.url, jobs, mode="verify")
    tell(figures, done, in_fake(server))
    assert_exactly_once(done, jobs, in_fake(server))
    if personality.lost == 201:
        assert done.decided["own claim not listed: not mine"] > 0


def test_verify_is_right_where_both_proceed(serve_fake, tmp_path, figures):
    """Here nothing but the looks is left to decide."""
    server = serve_fake(BOTH_PROCEED)
    jobs = names(amount(100, 200))
    done = drained(tmp_path, server.url, jobs, mode="verify")
    tell(figures, done, in_fake(server))
    assert_exactly_once(done, jobs, in_fake(server))
    assert sum(done.decided.values()) > 0


@pytest.mark.parametrize("personality", EACH_DAY, ids=lambda each: each.name)
def test_hardly_a_job_suffers_where_every_move_copies(serve_fake, tmp_path, personality, figures):
    """Worse than any server measured: inside a folder too.

    Then a job that is just put back is listed while it grows.  Whoever takes it before it is
    whole has all there will ever be: it runs unfinished, or its copy is parked, and the server
    deletes the rest with its source.  A copy that was begun before a job's end may look newer
    than that, and run again.  In 30 drains of 100 jobs each was seen once; nobody could tell.
    """
    server = serve_fake(replace(personality, copies_in_folder=True, gap=_MEETING))
    jobs = names(amount(40, 200))
    done = drained(tmp_path, server.url, jobs, share=1, mode="verify")
    there = in_fake(server)
    tell(figures, done, there)
    assert done.torn == []
    assert sum(done.decided.values()) > 0
    assert {name.partition("~")[0] for name in there["02_done"]} == done.started.keys()
    for name in done.started.keys() - set(done.unfinished):
        assert there["02_done"][name] == content(name)
    assert there["00_waiting"] == there["01_running"] == there["99_failed"] == {}
    whole = list(there["_queue/parked"].values())
    lost = [name for name in jobs if name not in done.started and content(name) not in whole]
    assert done.doubles + len(lost) <= 2


@pytest.mark.parametrize("personality", [COPYING[0], BOTH_PROCEED], ids=lambda each: each.name)
def test_trust_is_wrong_where_a_move_is_a_copy(serve_fake, tmp_path, personality):
    """Shows that the tests above could fail."""
    server = serve_fake(replace(personality, gap=0.05))  # which others meet, however busy they are
    done = drained(tmp_path, server.url, names(50), mode="trust")
    assert done.doubles > 0
