"""Each kind of server is recognised for what it is."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dirjobs import open_store
from dirjobs.backends.memory import MemoryStore
from dirjobs.check import check
from dirjobs.check.verdict import FEW
from dirjobs.errors import NotFound
from dirjobs.layers import Layer
from tests.conformance.test_smb import open_liar
from tests.fake_webdav import PERSONALITIES
from tests.fake_webdav.fixtures import serve_fake
from tests.servers.apache import apache
from tests.servers.samba import Samba

__all__ = ["apache", "serve_fake"]

SEVERAL = "several have a copy"


@pytest.fixture
def examine(serve_fake):
    """Check a fake, and see that nothing else in it was touched."""

    def examine(personality, **arguments):
        server = serve_fake(personality)
        server.write("00_waiting/job1.txt", b"payload")
        server.write("_queue/queue.json", b'{"mode": "verify"}')
        before = server.tree(), server.folders()
        done = check(server.url, **{"rounds": 12, "short": True} | arguments)
        assert (server.tree(), server.folders()) == before
        assert done.findings.callers == "4 threads"
        return done

    return examine


@pytest.mark.parametrize("name", ["copying_strict", "copying_liar"])
def test_a_server_that_copies(examine, name):
    done = examine(PERSONALITIES[name])
    assert done.verdict.mode == "verify"
    assert done.findings.times.kept is False
    assert done.findings.across.failures[SEVERAL] > 0
    assert "several have a copy" not in done.findings.inside.failures
    why = " ".join(done.verdict.why)
    assert "a copy and a delete" in why
    assert "is not exclusive" in why
    if name == "copying_liar":
        assert done.findings.inside.failures["who was told yes has nothing"] > 0


def test_a_server_where_both_proceed(examine):
    done = examine(PERSONALITIES["both_proceed"])
    assert done.verdict.mode == "verify"
    assert done.findings.times.kept is True
    assert done.findings.across.failures[SEVERAL] > 0
    assert done.findings.inside.failures[SEVERAL] > 0
    assert any("nothing but its looks" in sentence for sentence in done.verdict.avoid)


def test_a_server_whose_listings_are_late(examine):
    done = examine(replace(PERSONALITIES["stale"], listing_lag=0.2), rounds=5)
    assert done.verdict.mode == "sync"
    lag = done.findings.lag
    assert min(lag.new, lag.appeared, lag.vanished) > 0
    assert done.verdict.sync_time > 1.5 * lag.worst
    assert any("late" in sentence for sentence in done.verdict.why)


def test_a_go_server(examine):
    done = examine(PERSONALITIES["go"])
    assert done.findings.across.failed == done.findings.inside.failed == 0
    losers = done.findings.across.losers
    assert losers.keys() <= {"AmbiguousResult (403)", "AmbiguousResult (423)"}


def test_nginx_and_all_that_a_long_check_looks_at(examine):
    done = examine(PERSONALITIES["nginx"], short=False)
    found = done.findings
    assert found.across.failed == found.inside.failed == 0
    assert found.names.mangled == ["a leading dot"]
    assert found.names.dangerous == []
    assert {"umlauts", "emoji", "percent signs", "#"} <= set(found.names.fine)
    assert found.names.case_sensitive is True
    assert found.names.longest == 255
    assert found.write.holds
    assert found.times.precision == 1
    assert abs(found.times.offset) < 30
    assert found.latency["rename"] > 0
    assert found.nowhere == "made"


def test_a_server_that_shows_uploads_while_they_grow(examine, monkeypatch):
    monkeypatch.setattr("dirjobs.check.file_semantics._HALF_SENT", 20.0)  # it ends when it is seen
    done = examine(PERSONALITIES["partial"])
    assert done.findings.partial == "movable"
    assert done.verdict.min_age > 0
    assert any("still being uploaded" in sentence for sentence in done.verdict.avoid)


def test_too_few_rounds_prove_nothing(examine):
    done = examine(PERSONALITIES["atomic"])
    assert done.verdict.mode == "verify"
    assert done.findings.across.holds
    assert any("less than the 300 races" in sentence for sentence in done.verdict.why)


def test_apache_is_trusted_after_three_hundred_rounds(apache):
    login = {"username": apache.user, "password": apache.password}
    done = check(apache.url, storage_options=login, short=True, rounds=300)
    race, collisions = done.findings.across, done.findings.collisions
    assert race.failed == 0
    replaced = collisions.failed > collisions.contested / 2
    if race.contested >= 300 and collisions.contested >= FEW and not replaced:
        assert race.bound <= 0.01
        assert done.verdict.mode == "trust"
    else:  # on a busy machine racers seldom meet, or Apache is long between its look and its rename
        assert replaced or race.rounds >= 600 or collisions.rounds >= 2 * FEW
        assert done.verdict.mode == "verify"
    assert done.verdict.sync_time == 0
    assert list(apache.root.iterdir()) == []
    assert apache.password not in str(done.to_json())


@pytest.fixture(scope="module")
def samba():
    with Samba() as server:
        yield server


def test_samba_is_trusted(samba):
    done = check(samba.url, storage_options=samba.options, short=True, rounds=30)
    assert done.verdict.mode == "trust"
    assert done.findings.callers == "4 processes"
    race = done.findings.across
    assert race.contested >= 30 or race.rounds >= 60  # on a busy machine racers seldom meet
    assert done.findings.partial == "visible"
    assert list(samba.root.iterdir()) == []


def test_the_rename_of_smbclient_is_refuted(samba):
    reopen = functools.partial(open_liar, samba.url, samba.options)
    with reopen() as store:
        done = check(store, reopen=reopen, short=True, rounds=15)
    assert done.verdict.mode == "verify"
    assert done.findings.across.failures["several were told yes"] > 0


def test_a_local_folder(tmp_path):
    (tmp_path / "00_waiting").mkdir()
    (tmp_path / "00_waiting" / "job1.txt").write_bytes(b"payload")
    done = check(tmp_path, rounds=30)
    found = done.findings
    assert done.verdict.mode == "trust"
    assert done.verdict.min_age == 0
    assert found.callers == "4 processes"
    assert found.across.failed == 0
    assert found.surroundings.file_system
    assert [path.name for path in tmp_path.rglob("*")] == ["00_waiting", "job1.txt"]


class Loses(Layer):
    """A rename into a missing folder takes the file away and says that it can't be done."""

    def rename(self, src, dst):
        try:
            super().rename(src, dst)
        except NotFound:
            self.store.remove(src)
            raise


def test_a_server_that_loses_what_goes_nowhere():
    done = check(Loses(MemoryStore()), rounds=10, short=True)
    assert done.findings.across.failed == 0
    assert done.findings.nowhere == "lost"
    assert done.verdict.mode == "verify"
    assert any("missing folder was LOST" in sentence for sentence in done.verdict.why)
    assert any("don't keep a queue here" in sentence for sentence in done.verdict.avoid)


def test_the_python_of_the_docs(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "trust 0\n"


def test_any_store_of_this_process():
    store = open_store("memory://checked")
    done = check(store, rounds=10, connections=2)
    assert done.findings.callers == "2 threads"
    assert done.findings.across.failed == 0
    assert [*store.list("")] == []
