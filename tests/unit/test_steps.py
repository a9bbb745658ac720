"""The driver: questions, answers, errors, interruptions; and the claim they interrupt."""

import io

import pytest
from dirjobs.protocol.effects import Driver, Exists, List, Mkdir, Read, Rename, Upload, Wait, Write

from dirjobs import errors
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.policy import Mode, Terms
from dirjobs.protocol import effects
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.intents import State
from dirjobs.store import Entry


def on(store, slept=None):
    return Driver(store, (slept if slept is not None else []).append)


def test_every_question_gets_its_answer():
    def questions():
        yield Mkdir("a")
        yield Write("a/x", b"data")
        yield Upload("a/y", io.BytesIO(b"more"))
        yield Rename("a/x", "a/z")
        yield Wait(7.0)
        names = [entry.name for entry in (yield List("a"))]
        return names, (yield Exists("a/x")), (yield Read("a/z"))

    slept = []
    assert on(MemoryStore(), slept).run(questions()) == (["y", "z"], False, b"data")
    assert slept == [7.0]


def test_an_error_is_raised_where_the_question_was_asked():
    def questions():
        try:
            yield Read("missing")
        except errors.NotFound:
            return (yield Exists(""))

    assert on(MemoryStore()).run(questions()) is True


def test_an_error_that_nobody_expects_reaches_the_caller():
    def questions():
        yield Read("missing")

    with pytest.raises(errors.NotFound):
        on(MemoryStore()).run(questions())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_whatever_interrupts_is_raised_inside_and_may_be_tidied_up_after(error):
    class Interrupted(Layer):
        def read(self, path):
            raise error

    done = []

    def questions():
        try:
            yield Read("x")
        except BaseException as inside:
            done.append(type(inside))
            done.append((yield Exists("")))
            raise

    with pytest.raises(error):
        on(Interrupted(MemoryStore())).run(questions())
    assert done == [error, True]


def test_a_list_that_is_lazy_is_read_at_once():
    class Lazy(Layer):
        def list(self, folder):
            yield Entry("x")

    def questions():
        return (yield List(""))

    assert on(Lazy(MemoryStore())).run(questions()) == [Entry("x")]


class Interrupting(Layer):
    """Raises in the middle of the nth rename, before or after it is carried out."""

    def __init__(self, store, error, nth, *, after):
        super().__init__(store)
        self.error, self.left, self.after = error, nth, after

    def rename(self, src, dst):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise self.error
        super().rename(src, dst)
        if self.left == 0:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("mode", "nth"), [(Mode.TRUST, 1), (Mode.SYNC, 1), (Mode.VERIFY, 1), (Mode.VERIFY, 2)]
)
def test_an_interrupted_claim_is_left_to_the_sweep_not_forgotten(error, after, mode, nth):
    store = MemoryStore()
    for folder in ("00_waiting", "01_running", "02_done", "99_failed"):
        store.mkdir(folder)
    store.write("00_waiting/job", b"data")
    claims = Claims("w1", Terms(mode), store.guarantees)
    (job,) = store.list("00_waiting")
    with pytest.raises(error):
        on(Interrupting(store, error, nth, after=after)).run(claims.claim(job))
    assert claims.ledger.in_state(State.HELD) == claims.ledger.in_state(State.ASKING) == {}
    assert claims.ledger.in_state(State.UNSETTLED)
    # The request may be executed yet; whatever came of it, a sweep brings the job back.
    on(store).run(claims.sweep())
    assert [entry.name for entry in store.list("00_waiting")] == ["job"]
    assert store.list("01_running") == []


@pytest.mark.parametrize(
    ("path", "removable"),
    [
        ("_queue/workers/w1.abc.json", True),
        ("00_waiting/~k3x9q2.part", True),
        ("_queue/workers/notes.txt", False),
        ("_queue/queue.json", False),
        ("00_waiting/job.part", False),
        ("00_waiting/~w1~abc.job.part", False),
        ("00_waiting/~w1~abc.part", False),
        ("01_running/~k3x9q2.part", False),
        ("00_waiting/sub/~k3x9q2.part", False),
    ],
)
def test_what_may_be_removed(path, removable):
    assert effects.may_be_removed(path) is removable
