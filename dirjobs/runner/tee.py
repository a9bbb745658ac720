"""What jobs print, on the terminal of their worker as well, each line with its job before it."""

from __future__ import annotations

import codecs
from threading import Lock

from dirjobs.console.text import show

_LONGEST_LINE = 1 << 16


class Tee:
    """The output of one job.  Safe to use from several threads.

    Args:
        job: the job's name.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._lock = Lock()
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        self._line = ""
        self._is_broken = False

    def write(self, data: bytes) -> None:
        """Print the lines that are whole now."""
        with self._lock:
            *lines, self._line = (self._line + self._decode(data)).split("\n")
            if len(self._line) > _LONGEST_LINE:
                lines.append(self._line)
                self._line = ""
            self._print(lines)

    def close(self) -> None:
        """Print what is left, for the job has ended."""
        with self._lock:
            self._print([self._line + self._decode(b"", final=True)])
            self._line = ""

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            # Of a progress bar, which is written over and over, the last state counts.
            text = line.rstrip("\r").rpartition("\r")[2]
            if not text or self._is_broken:
                continue
            try:
                show(f"{self._job} | {text}")
            except OSError:
                self._is_broken = True  # the log has it; nobody reads this any more
