"""Every personality of the fake, raced over real connections."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.amounts import PATIENCE
from tests.fake_webdav import FakeWebDAV, Personality
from tests.fake_webdav import personalities as are
from tests.fake_webdav.client import Client, clients, race
from tests.fake_webdav.fixtures import ServeFake, serve_fake

__all__ = ["serve_fake"]
CLIENTS, ROUNDS = 8, 50
COPYING = [are.copying_lenient, are.copying_strict, are.copying_liar]


class Race:
    """8 clients MOVE one file to names of their own, again and again."""

    def __init__(self, server: FakeWebDAV, folder: str = "b", rounds: int = ROUNDS) -> None:
        server.mkdir("a")
        server.mkdir(folder)
        self.codes: Counter[int] = Counter()
        self.winners: Counter[int] = Counter()
        """How many rounds had so many files at the end."""
        self.contents: Counter[bytes] = Counter()
        with clients(server.url, CLIENTS) as all_of_them:
            for n in range(rounds):
                source = f"a/job{n}"
                server.write(source, b"payload")
                names = [f"{folder}/w{me}.job" for me in range(CLIENTS)]
                told = race(
                    [
                        partial(each.ask, "MOVE", source, to=name)
                        for each, name in zip(all_of_them, names, strict=True)
                    ]
                )
                self.codes.update(answer.status for answer in told)
                there = {name: data for name, data in server.tree().items() if name in names}
                self.winners[len(there)] += 1
                self.contents.update(there.values())
                assert source not in server.tree()
                for name in there:
                    server.remove(name)


@pytest.fixture(params=[are.atomic, are.go, are.nginx, are.partial], ids=lambda each: each.name)
def exclusive(request: pytest.FixtureRequest) -> Iterator[Personality]:
    yield request.param


def test_exactly_one_wins_where_a_move_is_atomic(
    serve_fake: ServeFake, exclusive: Personality
) -> None:
    seen = Race(serve_fake(exclusive))
    assert seen.winners == {1: ROUNDS}
    assert seen.contents == {b"payload": ROUNDS}
    assert seen.codes[exclusive.created] == ROUNDS


def test_atomic_says_404_to_losers(serve_fake: ServeFake) -> None:
    assert set(Race(serve_fake(are.atomic), rounds=10).codes) == {201, 404}


def test_go_never_says_404_to_losers(serve_fake: ServeFake) -> None:
    assert set(Race(serve_fake(are.go)).codes) == {201, 403, 423}


def test_nginx_says_204_to_winners(serve_fake: ServeFake) -> None:
    assert set(Race(serve_fake(are.nginx), rounds=10).codes) == {204, 404}


@pytest.mark.parametrize("personality", COPYING, ids=lambda each: each.name)
def test_copying_doubles_across_folders(serve_fake: ServeFake, personality: Personality) -> None:
    seen = Race(serve_fake(personality))
    assert sum(rounds for winners, rounds in seen.winners.items() if winners > 1) > 0
    assert set(seen.contents) <= {b"payload", b""}
    told = {are.copying_lenient: {201, 404}, are.copying_strict: {201, 404, 500}}
    assert set(seen.codes) <= told.get(personality, {201})
    if personality is are.copying_strict:
        assert seen.codes[500] > 0
    if personality is are.copying_liar:
        assert seen.codes == {201: CLIENTS * ROUNDS}


@pytest.mark.parametrize("personality", COPYING, ids=lambda each: each.name)
def test_copying_is_exclusive_in_one_folder(
    serve_fake: ServeFake, personality: Personality
) -> None:
    seen = Race(serve_fake(personality), folder="a")
    assert seen.winners == {1: ROUNDS}
    assert seen.contents == {b"payload": ROUNDS}


@pytest.mark.parametrize("folder", ["a", "b"])
def test_both_proceed_doubles_in_one_folder_too(serve_fake: ServeFake, folder: str) -> None:
    seen = Race(serve_fake(are.both_proceed), folder=folder)
    doubles = sum(rounds for winners, rounds in seen.winners.items() if winners > 1)
    assert doubles > 0
    assert set(seen.contents) == {b"payload"}
    assert seen.codes[201] == sum(seen.contents.values())


def test_a_hook_forces_an_empty_copy(serve_fake: ServeFake) -> None:
    """The loser's copy begins after the winner's delete."""
    server = serve_fake(replace(are.copying_lenient, gap=0))
    server.write("a/job", b"payload")
    server.mkdir("b")
    loser_is_in, winner_is_done = threading.Event(), threading.Event()

    def hold(request: object) -> None:
        if request.destination_name == "b/loser":  # type: ignore[attr-defined]
            loser_is_in.set()
            assert winner_is_done.wait(PATIENCE)

    server.before("MOVE:created", hold)

    def win() -> int:
        assert loser_is_in.wait(PATIENCE)
        status = winner.ask("MOVE", "a/job", to="b/winner").status
        winner_is_done.set()
        return status

    with clients(server.url, 2) as (loser, winner):
        told = race([lambda: loser.ask("MOVE", "a/job", to="b/loser").status, win])
    assert told == [201, 201]
    assert server.files("b") == {"loser": b"", "winner": b"payload"}


def test_copies_get_a_new_mtime_and_renames_keep_it(serve_fake: ServeFake) -> None:
    server = serve_fake(are.copying_lenient)
    server.write("a/job", b"x", mtime=1_000_000_000)
    server.mkdir("b")
    asker = Client(server.url)
    old = asker.ask("HEAD", "a/job").headers["Last-Modified"]
    asker.ask("MOVE", "a/job", to="a/still")
    assert asker.ask("HEAD", "a/still").headers["Last-Modified"] == old
    asker.ask("MOVE", "a/still", to="b/job")
    assert asker.ask("HEAD", "b/job").headers["Last-Modified"] != old
    asker.close()


def test_stale_listings_lag_per_folder(serve_fake: ServeFake) -> None:
    now = [1000.0]
    server = serve_fake(are.stale, clock=lambda: now[0])
    server.mkdir("a")
    server.mkdir("b")
    now[0] += 10
    server.set_lag("b", 0)
    asker = Client(server.url)

    def listed(folder: str) -> set[str]:
        body = asker.ask("PROPFIND", folder + "/", Depth="1").body.decode()
        return {name for name in ("one", "two") if f"/{name}<" in body}

    asker.ask("PUT", "a/one", b"x")
    assert listed("a") == set()
    now[0] += 1
    asker.ask("MOVE", "a/one", to="b/one")
    asker.ask("PUT", "a/two", b"x")
    assert (listed("a"), listed("b")) == (set(), {"one"})
    now[0] += 1.5
    assert listed("a") == {"one"}
    assert asker.ask("GET", "a/one").status == 404
    now[0] += 1
    assert listed("a") == {"two"}
    asker.close()


def test_nginx_ways(serve_fake: ServeFake) -> None:
    server = serve_fake(are.nginx)
    asker = Client(server.url)
    assert asker.ask("MKCOL", "a").status == 409
    assert asker.ask("MKCOL", "a/").status == 201
    asker.ask("PUT", "a/.hidden", b"x")
    asker.ask("PUT", "a/shown", b"x")
    listing = asker.ask("PROPFIND", "a/", Depth="1").body
    assert b"shown" in listing
    assert b".hidden" not in listing
    assert asker.ask("MOVE", "a/shown", to="new/deep/shown").status == 204
    assert server.files("new/deep") == {"shown": b"x"}
    asker.close()


def test_partial_uploads_are_visible_movable_and_stay_torn(serve_fake: ServeFake) -> None:
    server = serve_fake(are.partial)
    server.mkdir("a")
    grown, moved = threading.Event(), threading.Event()
    server.before("PUT:grown", lambda request: grown.set())

    def body() -> Iterator[bytes]:
        yield b"half"
        assert moved.wait(PATIENCE)
        yield b"rest"

    def take() -> tuple[int, dict[str, bytes]]:
        assert grown.wait(PATIENCE)
        status = taker.ask("MOVE", "a/job", to="a/mine").status
        torn = server.files("a")
        moved.set()
        return status, torn

    with clients(server.url, 2) as (writer, taker):
        told = race([lambda: writer.ask("PUT", "a/job", body()).status, take])
        assert told == [201, (201, {"mine": b"half"})]
        assert server.files("a") == {"mine": b"halfrest"}
        gone = threading.Event()
        grown.clear()
        server.before("PUT:grown", lambda request: gone.set())
        writer.connection.putrequest("PUT", writer.path("a/cut"))
        writer.connection.putheader("Content-Length", "100")
        writer.connection.endheaders(b"first")
        assert gone.wait(PATIENCE)
    assert server.files("a")["cut"] == b"first"


def test_how_listings_are_spelled(serve_fake: ServeFake) -> None:
    plain = replace(are.atomic, etags=False, sends_length=False)
    spelled = replace(are.atomic, absolute_hrefs=True, upper_hex=False)
    for personality, has, lacks in (
        (are.atomic, "<D:href>/dav/%C3%BC%20%2B<", "<D:href>http"),
        (plain, "<D:href>/dav/%C3%BC%20%2B<", "getetag"),
        (spelled, "{url}/%c3%bc%20%2b<", "%C3"),
    ):
        server = serve_fake(personality)
        server.write("ü +", b"x")
        asker = Client(server.url)
        listing = asker.ask("PROPFIND", Depth="1").body.decode()
        assert has.format(url=server.url) in listing
        assert lacks not in listing
        assert "Date" in asker.ask("HEAD").headers
        asker.close()
