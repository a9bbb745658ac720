"""`dirjobs` on a local folder that refuses everything while a file is there.

python -m tests.process.refused_worker FLAG ERRNO ARGS...
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from dirjobs.backends.posix.errnos import refusal
from dirjobs.backends.posix.store import PosixStore
from dirjobs.cli import main

VERBS = ("list", "names_of_files", "exists", "mtime", "rename", "read", "write", "upload", "mkdir")


def refuse_while_there(flag: str, code: int) -> None:
    def refusing(verb: str) -> Callable[..., object]:
        original = getattr(PosixStore, verb)

        def call(store: PosixStore, *args: object) -> object:
            if os.path.exists(flag):
                raise refusal(code, f"{args[0]!r}")
            return original(store, *args)

        return call

    for verb in VERBS:
        setattr(PosixStore, verb, refusing(verb))


if __name__ == "__main__":
    refuse_while_there(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["dirjobs", *sys.argv[3:]]
    main()
