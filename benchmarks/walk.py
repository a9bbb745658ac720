"""Which code runs between what a user calls and what the store is asked.

    python -m benchmarks.walk [--calls]

Two walks are traced: `next_and_lock` on a local folder until the rename, and
``DirJobs("http://...")`` until the first byte is sent (to the fake server of the tests).
For each it prints how many calls of dirjobs' own functions that takes, in how many
modules, and how many *stays*: calls that follow each other within one module are one
stay, so each stay is a page that a reader has to turn to.  What runs while modules are
imported is left out.  ``--calls`` prints every call as well.
"""

from __future__ import annotations

import argparse
import inspect
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import dirjobs
import dirjobs.backends.webdav
from dirjobs import DirJobs
from tests.fake_webdav import FakeWebDAV

PACKAGE = Path(dirjobs.__file__).parent


class Call(NamedTuple):
    module: str
    function: str


End = Callable[[str, Call | None, object], bool]
"""Whether the walk ends with this event: of what kind, which function of ours, and which
built-in function (`sys.setprofile` tells of it)."""


class Walk:
    """The calls of dirjobs' functions that one action takes, in their order."""

    def __init__(self, action: Callable[[], object], end: End) -> None:
        self.calls: list[Call] = []
        self._end = end
        self._over = False
        sys.setprofile(self._note)
        try:
            action()
        finally:
            sys.setprofile(None)
        if not self._over:
            raise RuntimeError("the walk never came to its end")

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if self._over:
            return
        call = _call(frame) if event == "call" else None
        if call is not None:
            self.calls.append(call)
        self._over = self._end(event, call, argument)

    def stays(self) -> list[str]:
        """The modules in the order of the visits."""
        names = [call.module for call in self.calls]
        return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def _call(frame: FrameType) -> Call | None:
    code = frame.f_code
    path = Path(code.co_filename)
    # The body of a module or a class is no function.
    if not code.co_flags & inspect.CO_OPTIMIZED or PACKAGE not in path.parents:
        return None
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return Call(module.removesuffix(".__init__"), code.co_qualname)


def local() -> Walk:
    """From `next_and_lock` to the rename, on a local folder, in mode trust."""
    with tempfile.TemporaryDirectory() as folder, DirJobs(f"{folder}/jobs", create=True) as dj:
        for number in range(3):
            dj.add(f"job{number}.txt")
        job = dj.next_and_lock()  # the first one also sets up the worker
        assert job is not None
        job.done()
        return Walk(
            dj.next_and_lock,
            lambda _, call, __: call is not None and call.module == "backends.posix.rename",
        )


def url() -> Walk:
    """From ``DirJobs(url)`` to the first byte that is sent."""
    opened: list[DirJobs] = []

    def is_sending(event: str, _: Call | None, function: object) -> bool:
        its_object = getattr(function, "__self__", None)
        return (
            event == "c_call"
            and isinstance(its_object, socket.socket)
            and getattr(function, "__name__", "").startswith("send")
        )

    with FakeWebDAV() as server:
        walk = Walk(lambda: opened.append(DirJobs(server.url)), is_sending)
        for dj in opened:
            dj.close()
    return walk


def tell(title: str, walk: Walk, *, calls: bool) -> None:
    stays, modules = walk.stays(), {call.module for call in walk.calls}
    print(f"{title}: {len(walk.calls)} calls, {len(modules)} modules, {len(stays)} stays")
    print("  " + " > ".join(stays))
    for call in walk.calls if calls else ():
        print(f"    {call.module}: {call.function}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--calls", action="store_true", help="print every call")
    given = arguments.parse_args()
    tell("next_and_lock to the rename, local", local(), calls=given.calls)
    tell("DirJobs(url) to the first byte", url(), calls=given.calls)


if __name__ == "__main__":
    main()
