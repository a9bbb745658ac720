"""Retrying and Logged: what is repeated, what never is, and what is written down."""

import inspect
import io
import logging

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import AlreadyExists, AmbiguousResult, Busy, Denied, NotFound, Unavailable
from dirjobs.layers import Layer, Logged, Retrying
from dirjobs.store import Store
from dirjobs.testing import Fault, Lossy


class Time:
    def __init__(self):
        self.now, self.pauses = 0.0, []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def retrying(inner, random=lambda: 1.0, **settings):
    time = Time()
    layer = Retrying(inner, clock=lambda: time.now, sleep=time.sleep, random=random, **settings)
    return layer, time


def faulty(*plan):
    """A memory store with a file, the faults to come, and the layer that repeats."""
    inner = MemoryStore()
    inner.write("file", b"data")
    lossy = Lossy(inner, plan)
    layer, time = retrying(lossy)
    return inner, lossy, layer, time


READING = {
    "list": lambda store: [*store.list("")],
    "exists": lambda store: store.exists("file"),
    "mtime": lambda store: store.mtime("file"),
    "read": lambda store: store.read("file"),
    "write": lambda store: store.write("file", b"new"),
    "remove": lambda store: store.remove("file"),
    "upload": lambda store: store.upload("new", io.BytesIO(b"x")),
    "download": lambda store: store.download("file", io.BytesIO()),
}


@pytest.mark.parametrize("verb", READING)
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_idempotent_verbs_are_repeated(verb, fault):
    _, lossy, layer, time = faulty(fault, fault)
    READING[verb](layer)
    assert lossy.faults[0] == (verb, fault)
    assert len(time.pauses) in (1, 2)


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE])
def test_a_rename_whose_fate_is_unknown_is_never_repeated(fault):
    inner, lossy, layer, time = faulty(fault)
    with pytest.raises(AmbiguousResult):
        layer.rename("file", "new")
    with pytest.raises(AmbiguousResult):
        Retrying(Lossy(inner, [fault])).mkdir("folder")
    assert time.pauses == []
    assert len(lossy.faults) == 1


def test_a_refused_rename_is_repeated():
    inner, _, layer, time = faulty(Fault.REFUSED, Fault.REFUSED)
    layer.rename("file", "new")
    assert inner.read("new") == b"data"
    assert time.pauses == [0.2, 0.4]


def test_a_refused_mkdir_is_repeated():
    inner, _, layer, _ = faulty(Fault.REFUSED)
    layer.mkdir("folder")
    assert inner.exists("folder")


@pytest.mark.parametrize("verb", [*READING, "mkdir"])
def test_what_is_locked_for_a_moment_is_asked_again(verb):
    layer, time = held_open(verb)
    (READING | {"mkdir": lambda store: store.mkdir("folder")})[verb](layer)
    assert time.pauses == [0.2]


def test_a_rename_of_what_is_locked_is_its_callers_to_repeat():
    layer, time = held_open("rename")
    with pytest.raises(Busy):
        layer.rename("file", "new")
    assert time.pauses == []


def held_open(verb):
    """A store that says once that somebody has the file open."""

    class HeldOpen(Layer):
        times = 1

        def call(self, asked, paths, action):
            if asked == verb and self.times:
                self.times = 0
                raise Busy("somebody has it open")
            return action()

    inner, _, _, _ = faulty()
    return retrying(HeldOpen(inner))


def test_clear_answers_are_not_repeated():
    inner, _, layer, time = faulty()
    inner.mkdir("folder")
    with pytest.raises(NotFound):
        layer.read("missing")
    with pytest.raises(AlreadyExists):
        layer.mkdir("")
    with pytest.raises(Denied):
        layer.remove("folder")
    assert time.pauses == []


def test_a_remove_that_was_done_after_all():
    inner, _, layer, _ = faulty(Fault.LOST_ANSWER)
    layer.remove("file")
    assert not inner.exists("file")


def test_a_remove_of_what_was_never_there():
    _, _, layer, _ = faulty(Fault.REFUSED)
    with pytest.raises(NotFound):
        layer.remove("missing")


def test_streams_are_rewound():
    inner, _, layer, _ = faulty(Fault.LOST_ANSWER, Fault.LOST_REQUEST)
    source = io.BytesIO(b"skipped sent")
    source.seek(8)
    layer.upload("new", source)
    assert inner.read("new") == b"sent"


def test_a_torn_download_is_begun_again():
    class Torn(MemoryStore):
        torn = True

        def download(self, path, target):
            if self.torn:
                self.torn = False
                target.write(b"a long torn piece")
                raise AmbiguousResult("torn")
            super().download(path, target)

    store = Torn()
    store.write("file", b"whole")
    layer, _ = retrying(store)
    target = io.BytesIO(b"kept ")
    target.seek(5)
    layer.download("file", target)
    assert target.getvalue() == b"kept whole"


def test_what_can_t_be_rewound_is_sent_once():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    _, lossy, layer, _ = faulty(Fault.REFUSED, Fault.REFUSED)
    with pytest.raises(Unavailable):
        layer.upload("new", Pipe(b"x"))
    with pytest.raises(Unavailable):
        layer.download("file", Pipe())
    assert [verb for verb, _ in lossy.faults] == ["upload", "download"]


class Down(MemoryStore):
    retry_after = None

    def exists(self, path):
        raise Unavailable("down", retry_after=self.retry_after)


def test_tries_are_bounded():
    layer, time = retrying(Down(), tries=4)
    with pytest.raises(Unavailable):
        layer.exists("file")
    assert time.pauses == [0.2, 0.4, 0.8]


def test_seconds_are_bounded_and_pauses_too():
    layer, time = retrying(Down(), tries=1000, seconds=100)
    with pytest.raises(Unavailable):
        layer.exists("file")
    assert sum(time.pauses) == pytest.approx(100)
    assert max(time.pauses) == 20


def test_pauses_are_jittered():
    numbers = iter([0.5, 0.25, 0.0])
    layer, time = retrying(Down(), random=lambda: next(numbers), tries=4)
    with pytest.raises(Unavailable):
        layer.exists("file")
    assert time.pauses == [0.1, 0.1, 0.0]


def test_nothing_is_repeated_when_nobody_waits_any_longer():
    down, slept = Down(), []
    down.retry_after = 7
    store = Retrying(down, sleep=slept.append, over=lambda: len(slept) >= 3)
    with pytest.raises(Unavailable):
        store.exists("file")
    assert slept == pytest.approx([0.2, 0.2, 0.2])


def test_retry_after_is_honoured_within_the_bound():
    down = Down()
    down.retry_after = 7
    layer, time = retrying(down, tries=100, seconds=30)
    with pytest.raises(Unavailable):
        layer.exists("file")
    assert time.pauses == pytest.approx([7, 7, 7, 7, 2])


@pytest.mark.parametrize("layer", [Layer, Retrying, Logged, Lossy])
def test_layers_forward_everything(layer):
    class Inner(MemoryStore):
        closed = 0

        def name_problem(self, name):
            return f"no {name}"

        def rename_problem(self, folder, name):
            return f"no {folder}/{name}"

        def local_path(self, path):
            return f"/local/{path}"

        def another(self):
            return Inner(name="another")

        def close(self):
            self.closed += 1

    inner = Inner(name="inner")
    outer = layer(inner, plan=[]) if layer is Lossy else layer(inner)
    assert outer.url == "memory://inner"
    assert outer.guarantees is inner.guarantees
    assert outer.name_problem("x") == "no x"
    assert outer.rename_problem("a", "x") == "no a/x"
    assert outer.full_path("a") == "memory://inner/a"
    assert outer.local_path("a") == "/local/a"
    other = outer.another()
    assert type(other) is layer
    assert other.url == "memory://another"
    assert outer.url == "memory://inner"
    outer.close()
    assert inner.closed == 1
    assert repr(outer) == f"{layer.__name__}(Inner('memory://inner'))"


def test_no_verb_is_forgotten():
    public = {name for name in vars(Store) if not name.startswith("_")}
    assert public <= {name for name in vars(Layer) if not name.startswith("_")}
    assert not inspect.isabstract(Layer)


def test_calls_are_logged_on_one_line(caplog):
    ticks = iter(range(100))
    store = Logged(MemoryStore(), clock=lambda: next(ticks) / 1000)
    with caplog.at_level(logging.DEBUG, logger="dirjobs.layers"):
        store.write("file", b"secret content")
        store.rename("file", "new\nline")
        store.read("new\nline")
        store.list("")
        store.names_of_files("")
        with pytest.raises(NotFound):
            store.remove("file")
    assert [record.getMessage() for record in caplog.records] == [
        "write 'file': ok (1.0 ms)",
        "rename 'file' -> 'new\\nline': ok (1.0 ms)",
        "read 'new\\nline': 14 bytes (1.0 ms)",
        "list '': 1 entries (1.0 ms)",
        "list '': 1 entries (1.0 ms)",
        "remove 'file': NotFound: 'memory:///file': there is no such file (1.0 ms)",
    ]


def test_nothing_is_logged_unless_asked(caplog):
    store = Logged(MemoryStore())
    with caplog.at_level(logging.INFO, logger="dirjobs.layers"):
        store.write("file", b"")
    assert not caplog.records
