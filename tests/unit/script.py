"""Drives the protocol by hand: what it asks for next, and what it is told."""

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
from dirjobs.store import Entry
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


class ScriptedStore:
    """Takes the requests of a script, and says what stands there."""

    def __init__(self):
        self.left = []
        self.strayed = None
        """The first request that the script did not have, whatever the protocol made of it."""

    def ask(self, request):
        try:
            assert self.strayed is None, f"asked for {request} after that"
            assert self.left, f"asked for {request}, but the script is over"
            expected, told = self.left.pop(0)
            matches = (
                isinstance(request, expected)
                if isinstance(expected, type)
                else type(request) is type(expected) and request == expected
            )
            assert matches, f"asked for {request} instead of {expected}"
        except AssertionError as error:
            self.strayed = self.strayed or error
            raise
        if isinstance(told, type) and issubclass(told, BaseException):
            raise told("as scripted")
        return told

    def end(self):
        """Whatever the protocol made of it: the script must have been asked for, as it stands."""
        left, self.left = self.left, []
        if self.strayed is not None:
            raise self.strayed
        assert not left, f"never asked for {left[0][0]}"

    def sleep(self, seconds):
        CLOCK.now += max(0.0, seconds)
        if self.left and isinstance(self.left[0][0], Wait):
            self.ask(Wait(seconds))

    def list(self, folder):
        return self.ask(List(folder))

    def names_of_files(self, folder):
        return self.ask(ListNames(folder))

    def rename(self, src, dst):
        return self.ask(Rename(src, dst))

    def claim(self, src, dst):
        return self.rename(src, dst)

    def exists(self, path):
        return self.ask(Exists(path))

    def read(self, path):
        return self.ask(Read(path))

    def write(self, path, data):
        return self.ask(Write(path, data))

    def upload(self, path, source):
        return self.ask(Upload(path, source.read()))

    def mkdir(self, path):
        return self.ask(Mkdir(path))

    def remove(self, path):
        return self.ask(Remove(path))


STORE = ScriptedStore()
SHARE = Share(STORE, STORE.sleep, CLOCK)


def play(call, *script):
    """Do `call` on `SHARE`; every request must be the next one of `script`.

    Args:
        call: the protocol, whose parts are made on `SHARE`.
        script: pairs of a request and its answer; an exception class is raised.  A
            request may be a class only.

    Returns:
        what the call returns, or the error that it raises.
    """
    CLOCK.now = 0.0
    STORE.left, STORE.strayed = list(script), None
    try:
        outcome = call()
    except OSError as error:
        outcome = error
    finally:
        STORE.end()
    return outcome


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
