"""The share: lazy listings, what may be removed; and a claim that is interrupted."""

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.layout import may_be_removed
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.store import Entry


def test_a_list_that_is_lazy_is_read_at_once():
    class Lazy(Layer):
        def list(self, folder):
            yield Entry("x")

    assert Share(Lazy(MemoryStore())).list("") == [Entry("x")]


def test_a_folder_that_is_gone_is_an_empty_one():
    share = Share(MemoryStore())
    assert share.listed("gone") == share.names_of_files("gone") == []


def test_waits_go_another_way_for_the_time_of_a_block():
    slept, napped = [], []
    share = Share(MemoryStore(), slept.append)
    share.sleep(1.0)
    with share.waiting_by(napped.append):
        share.sleep(2.0)
    share.sleep(3.0)
    assert (slept, napped) == ([1.0, 3.0], [2.0])


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
    share = Share(Interrupting(store, error, nth, after=after), lambda _: None)
    parts = Parts(share, Me("w1", Policy(mode), store.guarantees))
    (job,) = store.list("00_waiting")
    with pytest.raises(error):
        parts.claimer.claim(job)
    assert parts.intents.in_state(State.HELD) == parts.intents.in_state(State.PENDING) == {}
    assert parts.intents.in_state(State.IN_DOUBT)
    # The request may be executed yet; whatever came of it, a sweep brings the job back.
    parts.over(Share(store, lambda _: None)).sweeper.sweep()
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
    assert may_be_removed(path) is removable
