"""Lossy, Lagging and Copying are as bad as they say, and not worse."""

import io
import subprocess
import sys

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import AlreadyExists, AmbiguousResult, NotFound, Unavailable
from dirjobs.testing import Copying, Fault, Lagging, Lossy


@pytest.fixture
def store():
    store = MemoryStore()
    store.mkdir("a")
    store.mkdir("b")
    store.write("a/job", b"some data")
    return store


@pytest.mark.parametrize("module", ["dirjobs.testing", "dirjobs.testing.races", "dirjobs.check"])
def test_faults_and_races_need_no_pytest(module):
    code = f"import sys, {module}; print('pytest' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def names(store, folder):
    return {entry.name for entry in store.list(folder)}


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (Fault.REFUSED, Unavailable, False),
        (Fault.LOST_REQUEST, AmbiguousResult, False),
        (Fault.LOST_ANSWER, AmbiguousResult, True),
        (Fault.LATE, AmbiguousResult, False),
    ],
)
def test_lossy_faults(store, fault, error, done):
    with pytest.raises(error):
        Lossy(store, [fault]).rename("a/job", "b/job")
    assert store.exists("b/job") is done
    assert store.exists("a/job") is not done


def test_late_requests_are_executed_by_a_later_call(store):
    lossy = Lossy(store, [Fault.LATE], delay=2)
    with pytest.raises(AmbiguousResult):
        lossy.rename("a/job", "b/job")
    assert not lossy.exists("b/job")
    assert not lossy.exists("b/job")
    assert lossy.another().exists("b/job")


def test_late_requests_are_executed_when_told(store):
    lossy = Lossy(store, [Fault.LATE, Fault.LATE])
    with pytest.raises(AmbiguousResult):
        lossy.upload("a/new", io.BytesIO(b"late"))
    lossy.flush_late()
    assert store.read("a/new") == b"late"
    with pytest.raises(AmbiguousResult):
        lossy.rename("a/gone", "b/gone")
    lossy.flush_late()  # its NotFound is heard by nobody
    assert len(lossy.faults) == 2


def test_random_losses_are_replayed_by_their_seed(store):
    def run(seed):
        lossy = Lossy(MemoryStore(), seed=seed, rate=0.5)
        for number in range(50):
            try:
                lossy.write(f"{number}", b"")
            except (Unavailable, AmbiguousResult):
                continue
        return lossy.faults

    assert run(1) == run(1) != run(2)
    assert {fault for _, fault in run(1)} == set(Fault) - {Fault.NONE}


def test_lagging_shows_folders_as_they_were(store):
    now = 100.0
    lagging = Lagging(store, lambda: now, lag=10)
    assert names(lagging, "a") == {"job"}
    lagging.rename("a/job", "b/job")
    now = 109.9
    other = lagging.another()
    assert (names(lagging, "a"), names(lagging, "b")) == ({"job"}, set())
    assert other.exists("a/job")
    assert not other.exists("b/job")
    with pytest.raises(NotFound):
        other.mtime("b/job")
    with pytest.raises(NotFound):
        other.rename("a/job", "b/other")
    now = 110
    assert (names(lagging, "a"), names(other, "b")) == (set(), {"job"})
    assert lagging.guarantees.visible_after == 10


def test_lagging_folders_lag_each_by_itself(store):
    now = 100.0
    moments = {}
    lagging = Lagging(store, lambda: now, 10, lambda oldest, newest: moments.get("see", oldest))
    assert names(lagging, "b") == set()
    lagging.rename("a/job", "b/job")
    moments["see"] = 100.0
    assert names(lagging, "b") == {"job"}
    del moments["see"]
    assert names(lagging, "a") == {"job"}


def test_changes_behind_a_lagging_store_show_at_once(store):
    lagging = Lagging(store, lambda: 100.0, lag=10)
    assert names(lagging, "a") == {"job"}
    store.write("a/new", b"")
    assert names(lagging, "a") == {"job", "new"}
    assert not lagging.exists("missing/file")
    with pytest.raises(NotFound):
        lagging.list("missing")


def test_a_copy_grows_in_everybody_s_sight(store):
    seen = []

    def look(step):
        seen.append((step, names(store, "a"), store.exists("b/job") and store.read("b/job")))

    copying = Copying(store, look)
    copying.rename("a/job", "b/job")
    assert seen == [
        ("copy", {"job"}, False),
        ("grow", {"job"}, b""),
        ("grow", {"job"}, b"some"),
        ("delete", {"job"}, b"some data"),
    ]
    assert store.read("b/job") == b"some data"
    assert not store.exists("a/job")
    assert not copying.guarantees.atomic_rename
    assert copying.guarantees.atomic_rename_in_folder


@pytest.mark.parametrize("step", ["copy", "delete"])
@pytest.mark.parametrize("variant", ["lenient", "strict"])
def test_a_source_that_goes_away_meanwhile(store, variant, step):
    def take_away(now):
        if now == step:
            store.rename("a/job", "a/taken")

    copying = Copying(store, take_away, variant)
    if variant == "strict":
        with pytest.raises(AmbiguousResult):
            copying.rename("a/job", "b/job")
    else:
        copying.rename("a/job", "b/job")
    assert store.read("b/job") == (b"" if step == "copy" else b"some data")


def test_copying_without_a_source_or_onto_a_file(store):
    for variant in ("lenient", "strict"):
        with pytest.raises(NotFound):
            Copying(store, variant=variant).rename("a/missing", "b/job")
    Copying(store, variant="liar").rename("a/missing", "b/job")
    assert not store.exists("b/job")
    store.write("b/job", b"other")
    with pytest.raises(AlreadyExists):
        Copying(store).rename("a/job", "b/job")


def test_copying_inside_a_folder_is_a_rename(store):
    steps = []
    Copying(store, steps.append).rename("a/job", "a/new")
    assert steps == []
    assert names(store, "a") == {"new"}
