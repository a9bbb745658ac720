"""Putting jobs into the queue: whole or not at all, never onto another, portable names."""

import io
from contextlib import suppress

import pytest

from dirjobs import DirJobs, InvalidName, JobExists
from dirjobs.admin.enqueue import known_jobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import NotFound
from dirjobs.layers import Layer
from dirjobs.protocol.share import Share


def test_what_is_added_is_what_the_worker_reads(place, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"path")
    contents = {
        "bytes.txt": (b"\x00\xff", b"\x00\xff"),
        "text.txt": ("hä", "hä".encode()),
        "array.txt": (bytearray(b"array"), b"array"),
        "file.txt": (io.BytesIO(b"file"), b"file"),
        "path.txt": (path, b"path"),
    }
    queue = place.open()
    for name, (content, _) in contents.items():
        assert queue.add(name, content) == name
    assert queue.add("empty.txt") == "empty.txt"
    found = {job.name(): job.read_bytes() for job in queue}
    assert found == {"empty.txt": b""} | {name: data for name, (_, data) in contents.items()}


@pytest.mark.parametrize(
    "path",
    ["00_waiting/job1.txt", "01_running/w9.job1.txt", "02_done/job1.txt", "99_failed/job1.txt"],
)
def test_a_name_that_the_queue_knows_is_not_added(place, path):
    queue = place.open()
    place.store.write(path, b"first")
    with pytest.raises(JobExists, match=r"^job 'job1\.txt' exists already in \d\d_\w+: "):
        queue.add("job1.txt", b"second")
    folder, _, name = path.partition("/")
    assert place.jobs() == {folder: [name]}
    assert place.store.read(path) == b"first"


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "..\\x", "/etc/passwd", "a/b.txt", "C:x", "job\n.txt", "a\0b"),
        *("x" * 300, "CON", "nul.txt", "~job.txt", "job.txt~", "job.part", ".hidden", "a?.txt"),
        *("a*", 'a"', "a;b", "a.", "a ", " a", "\ud800", "\u202egpj.txt", "ä" * 120, "Thumbs.db"),
        *("job1 (conflicted copy 2025-04-10).txt", "job1_host_Jan-03-0901_1.txt", None, 7, b"a"),
    ],
)
def test_a_name_that_cannot_travel_is_refused_in_one_sentence(place, name):
    queue = place.open()
    with pytest.raises(InvalidName) as caught:
        queue.add(name, b"data")
    message = str(caught.value)
    assert message.startswith("job name ") and message.endswith(".")
    assert message.isprintable()
    assert len(message) < 250
    assert place.jobs() == {}


def test_strange_but_portable_names_are_added(place):
    queue = place.open()
    names = [
        "-rf.txt",
        "$(x).txt",
        "%2e%2e.txt",
        "a#b.txt",
        "w1.job.txt",
        "häß 😀.txt",
        "a~dup~.txt",
    ]
    for name in names:
        queue.add(name, name.encode())
    assert {job.name(): job.read_bytes().decode() for job in queue} == {n: n for n in names}


class Broken(io.BytesIO):
    """A file that breaks while it is read."""

    def __init__(self, error):
        super().__init__(b"data")
        self.error = error

    def read(self, size=-1):
        raise self.error


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("closed"), KeyboardInterrupt()])
def test_a_source_that_breaks_leaves_nothing_behind(place, error):
    queue = place.open()
    with pytest.raises(type(error)):
        queue.add("job1.txt", Broken(error))
    assert place.jobs() == {}
    assert queue.add("job1.txt", b"data") == "job1.txt"


def test_a_text_file_is_no_content(place):
    queue = place.open()
    with pytest.raises(TypeError):
        queue.add("job1.txt", io.StringIO("text"))
    assert place.jobs() == {}


class Ending(Layer):
    """A job is done right after somebody has looked for its name in ``02_done``."""

    def call(self, verb, paths, action):
        answer = action()
        if verb in ("list", "exists") and paths[0].startswith("02_done"):
            with suppress(NotFound):
                self.store.rename("01_running/w1.a.txt", "02_done/a.txt")
        return answer


@pytest.mark.parametrize("first", [True, False])
def test_a_job_that_ends_meanwhile_is_not_missed(first):
    """Its name was looked for in 02_done too early and in 01_running too late: the new job
    was parked as a second copy of the old one."""
    store = Ending(MemoryStore())
    with DirJobs(store) as queue:
        store.write("01_running/w1.a.txt", b"old")
        if first:
            with pytest.raises(JobExists):
                queue.add("a.txt", "new")
        else:
            assert known_jobs(Share(store)) == {"a.txt": "01_running"}
        assert store.list("00_waiting") == []
