"""The share: verbs, errors, waits and interruptions; and the claim they interrupt."""

import io

import pytest

from dirjobs import errors, layout
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.store import Entry


def on(store, slept=None):
    return Share(store, (slept if slept is not None else []).append)


def test_every_question_gets_its_answer():
    slept = []
    share = on(MemoryStore(), slept)
    share.mkdir("a")
    share.write("a/x", b"data")
    share.upload("a/y", io.BytesIO(b"more"))
    share.rename("a/x", "a/z")
    share.sleep(7.0)
    assert [entry.name for entry in share.list("a")] == ["y", "z"]
    assert [entry.name for entry in share.listed("a")] == ["y", "z"]
    assert share.names_of_files("a") == ["y", "z"]
    assert (share.exists("a/x"), share.exists("a/z"), share.read("a/z")) == (False, True, b"data")
    assert slept == [7.0]


def test_a_folder_that_somebody_moved_away_is_an_empty_one_for_whoever_says_so():
    share = on(MemoryStore())
    with pytest.raises(errors.NotFound):
        share.list("missing")
    assert share.listed("missing") == share.names_of_files("missing") == []


def test_a_folder_that_is_made_at_this_moment_is_listed():
    class Late(Layer):
        asked = 0

        def list(self, folder):
            if folder == "late" and not self.asked:
                self.asked = 1
                self.store.mkdir("late")
                raise errors.NotFound("it was not there yet")
            return super().list(folder)

    assert on(Late(MemoryStore())).listed("late") == []


def test_an_error_that_nobody_expects_reaches_the_caller():
    share = on(MemoryStore())
    with pytest.raises(errors.NotFound):
        share.read("missing")
    assert share.exists("") is True


@pytest.mark.parametrize("error", [errors.Unavailable, errors.Denied, errors.AmbiguousResult])
def test_only_a_folder_that_is_not_there_counts_as_an_empty_one(error):
    class Refusing(Layer):
        def list(self, folder):
            raise error("as told")

    share = on(Refusing(MemoryStore()))
    for ask in (share.list, share.listed, share.names_of_files):
        with pytest.raises(error):
            ask("")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_whatever_interrupts_is_raised_inside_and_may_be_tidied_up_after(error):
    class Interrupted(Layer):
        def read(self, path):
            raise error

    share, done = on(Interrupted(MemoryStore())), []

    def ask():
        try:
            share.read("x")
        except BaseException as inside:
            done.append(type(inside))
            done.append(share.exists(""))
            raise

    with pytest.raises(error):
        ask()
    assert done == [error, True]


def test_a_list_that_is_lazy_is_read_at_once():
    class Lazy(Layer):
        def list(self, folder):
            yield Entry("x")

        def names_of_files(self, folder):
            yield "x"

    share = on(Lazy(MemoryStore()))
    assert share.list("") == share.listed("") == [Entry("x")]
    assert share.names_of_files("") == ["x"]


def test_a_lazy_list_of_a_missing_folder_is_an_empty_one_too():
    class Lazy(Layer):
        def list(self, folder):
            yield Entry("x")
            raise errors.NotFound("it went away")

        def names_of_files(self, folder):
            yield "x"
            raise errors.NotFound("it went away")

    share = on(Lazy(MemoryStore()))
    assert share.listed("") == share.names_of_files("") == []


def test_it_may_be_waited_in_another_way_for_a_while():
    usual, other = [], []
    share = on(MemoryStore(), usual)

    def wait():
        with share.waiting_by(other.append):
            share.sleep(1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait()
    share.sleep(2.0)
    assert (usual, other) == ([2.0], [1.0])


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
    interrupting = Interrupting(store, error, nth, after=after)
    parts = Parts(on(interrupting), Me("w1", Policy(mode), store.guarantees))
    (job,) = store.list("00_waiting")
    with pytest.raises(error):
        parts.claimer.claim(job)
    intents = parts.intents
    assert intents.in_state(State.HELD) == intents.in_state(State.PENDING) == {}
    assert intents.in_state(State.IN_DOUBT)
    # The request may be executed yet; whatever came of it, a sweep brings the job back.
    parts.over(on(store)).sweeper.sweep()
    assert [entry.name for entry in store.list("00_waiting")] == ["job"]
    assert store.list("01_running") == []


@pytest.mark.parametrize(
    ("path", "removable"),
    [
        ("_queue/workers/w1.abc.json", True),
        ("00_waiting/~k3x9q2.part", True),
        ("_queue/workers/~pause", True),
        ("_queue/workers/~drain.w1.k3x9q2", True),
        ("_queue/trash/job1.txt", True),
        ("_queue/trash/deep/job1.txt", False),
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
    assert layout.may_be_removed(path) is removable
    removed = []
    store = Layer(MemoryStore())
    store.remove = removed.append
    share = on(store)
    if removable:
        share.remove(path)
        assert removed == [path]
    else:
        with pytest.raises(ValueError, match="dirjobs never removes"):
            share.remove(path)
        assert removed == []
