"""A command on a terminal of its own, as a person sees it."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.amounts import PATIENCE

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
CTRL_C = b"\x03"


class Terminal:
    """A command on a terminal of its own.

    Args:
        command: with its arguments.
        cwd: where it runs.
        env: its environment.
        lines, columns: how large the terminal is.
        raw: it hands on what is typed as it is, before the command has asked for that.

    Attributes:
        shown: all that it has shown, with what moves the cursor.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        *,
        lines: int = 24,
        columns: int = 80,
        raw: bool = False,
    ) -> None:
        import fcntl
        import struct
        import termios
        import tty

        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if raw:
            tty.setraw(theirs)
        self.shown = b""
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_control_terminal,
        )
        os.close(theirs)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def read(self) -> bytes:
        """Something more; nothing when the command has ended."""
        try:
            more = os.read(self._ours, 65536)
        except OSError:  # nobody has the other end any more
            more = b""
        self.shown += more
        return more

    def wait_for(self, text: bytes) -> None:
        while text not in self.shown:
            assert self.read(), self.shown

    def read_until(self, condition: Callable[[], object]) -> None:
        """Take in what is shown until `condition` holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text()
            if select.select([self._ours], [], [], 0.02)[0]:
                assert self.read(), self.text()

    def text(self) -> str:
        """What it has shown, without what moves the cursor."""
        return _ESCAPES.sub(b"", self.shown).decode("utf-8", "replace")

    def ended(self) -> int:
        """The exit code, once it has ended."""
        while self.read():
            pass
        return self.process.wait(timeout=PATIENCE)

    def close(self) -> None:
        """Take the terminal away, as the closing of a window does."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1


def _control_terminal() -> None:
    """In the command's process: the terminal's end is the command's hang-up."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def on_terminal(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], **size: Any
) -> Iterator[Terminal]:
    opened = Terminal(command, cwd, env, **size)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        opened.close()
