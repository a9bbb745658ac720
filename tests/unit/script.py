"""Drives the protocol by hand: what it asks for next, and what it is told."""

from dirjobs.protocol.effects import Exists, List, Mkdir, Rename, Wait

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.store import Entry

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


def play(steps, *script):
    """Run `steps`; every request must be the next one of `script`.

    Args:
        steps: the protocol.
        script: pairs of a request and its answer; an exception class is raised.  A
            request may be a class only.

    Returns:
        what the steps return, or the error that they raise.
    """
    CLOCK.now = 0.0
    left = list(script)
    answer = error = None
    try:
        while True:
            request = steps.throw(error) if error else steps.send(answer)
            answer = error = None
            if isinstance(request, Wait):
                CLOCK.now += max(0.0, request.seconds)
                if not (left and isinstance(left[0][0], Wait)):
                    continue
            assert left, f"asked for {request}, but the script is over"
            expected, told = left.pop(0)
            matches = (
                isinstance(request, expected)
                if isinstance(expected, type)
                else (request == expected)
            )
            assert matches, f"asked for {request} instead of {expected}"
            if isinstance(told, type) and issubclass(told, BaseException):
                error = told("as scripted")
            else:
                answer = told
    except StopIteration as stop:
        outcome = stop.value
    except OSError as raised:
        outcome = raised
    assert not left, f"never asked for {left[0][0]}"
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
