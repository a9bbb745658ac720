"""Plays the store's part, request by request: what the protocol asks for, and what it is told."""

from contextlib import contextmanager

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, Guarantees, Store
from tests.simulation.requests import (
    Exists,
    List,
    ListNames,
    Mkdir,
    Read,
    Remove,
    Rename,
    Upload,
    Wait,
    Write,
)

W, R, D, F, P = "00_waiting", "01_running", "02_done", "99_failed", "_queue/parked"
JOB = Entry("job", 100.0, 7)
MINE = f"{R}/w2.job"
ERRORS = (AlreadyExists, AmbiguousResult, Busy, Denied, NotFound, Unavailable, Unsupported)


class Clock:
    """Goes on only while the protocol waits."""

    now = 0.0

    def __call__(self):
        return self.now


CLOCK = Clock()


class Scripted(Store):
    """A store that is asked for just what a script says, in that order."""

    url = "scripted://"
    guarantees = Guarantees()

    def __init__(self):
        self.left = []

    def ask(self, request):
        assert self.left, f"asked for {request}, but the script is over"
        expected, told = self.left.pop(0)
        matches = (
            isinstance(request, expected) if isinstance(expected, type) else (request == expected)
        )
        assert matches, f"asked for {request} instead of {expected}"
        if isinstance(told, type) and issubclass(told, BaseException):
            raise told("as scripted")
        return told

    def sleep(self, seconds):
        CLOCK.now += max(0.0, seconds)
        if self.left and isinstance(self.left[0][0], Wait):
            self.ask(Wait(seconds))

    def list(self, folder):
        return self.ask(List(folder))

    def names_of_files(self, folder):
        return self.ask(ListNames(folder))

    def rename(self, src, dst):
        self.ask(Rename(src, dst))

    def exists(self, path):
        return self.ask(Exists(path))

    def mtime(self, path):
        raise NotImplementedError

    def read(self, path):
        return self.ask(Read(path))

    def write(self, path, data):
        self.ask(Write(path, data))

    def download(self, path, target):
        raise NotImplementedError

    def upload(self, path, source):
        self.ask(Upload(path, source.read()))

    def remove(self, path):
        self.ask(Remove(path))

    def mkdir(self, path):
        self.ask(Mkdir(path))


STORE = Scripted()
SHARE = Share(STORE, STORE.sleep, CLOCK)


@contextmanager
def scripted(*script):
    """Every request of the block must be the next one of `script`, to its end."""
    CLOCK.now = 0.0
    STORE.left = list(script)
    yield
    assert not STORE.left, f"never asked for {STORE.left[0][0]}"


def play(call, *script):
    """Call the protocol; every request must be the next one of `script`.

    Args:
        call: the protocol, on `SHARE`.
        script: pairs of a request and its answer; an exception class is raised.  A
            request may be a class only.

    Returns:
        what the call returns, or the error that it raises.
    """
    with scripted(*script):
        try:
            return call()
        except OSError as raised:
            return raised


def ren(src, dst, told=None):
    return Rename(src, dst), told


def ls(folder, *names):
    entries = [name if isinstance(name, Entry) else Entry(name, 100.0, 7) for name in names]
    return List(folder), entries


def there(path, told=True):
    return Exists(path), told


def mkdir(path, told=None):
    return Mkdir(path), told


NOT_FINISHED = (there(f"{D}/job", False), there(f"{F}/job", False))
