"""The workers that an executor starts on its own machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from dirjobs.errors import ConfigurationError
from dirjobs.redaction import URL_VARIABLE

_AT_ONCE = 5.0
"""Seconds: a worker that ends sooner can't work here."""
_POLL, _POLL_ON_A_DISK = 1.0, 0.02
_STOP = 10.0


class LocalWorkers:
    """One `dirjobs work` with as many slots as wanted; started anew if somebody kills it.

    Args:
        place: the queue, as a path or a URL, with its login if that is in there.
        on_disk: whether it costs nothing to look for calls.
        count: how many slots; None: there is no worker.
        key_file, signed: as of `dirjobs.Executor`.
    """

    def __init__(
        self, place: str, on_disk: bool, count: int | None, key_file: str | None, signed: bool
    ) -> None:
        self.count = count or 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        if not self.count:
            return
        poll = _POLL_ON_A_DISK if on_disk else _POLL
        self._command = [
            *(sys.executable, "-P", "-m", "dirjobs", "work"),
            *(
                "--functions",
                "--wait",
                "--with-parent",
                "--slots",
                str(self.count),
                "--poll",
                str(poll),
            ),
            *(("--key-file", key_file) if key_file else ()),
            *(("--signed-only",) if key_file or signed else ()),
        ]
        # As of a child of `multiprocessing`: modules beside the program are found.
        path = os.pathsep.join(filter(None, sys.path))
        self._environment = {**os.environ, URL_VARIABLE: place, "PYTHONPATH": path}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `stop`
        self._start()

    def _start(self) -> None:
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is meant for the program
        )

    def look_after(self) -> None:
        """See that it works.

        Raises:
            ConfigurationError: it can't.
        """
        process = self._process
        if process is None or self._stopped or process.poll() is None:
            return
        if time.monotonic() - self._began < _AT_ONCE and process.returncode > 0:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").splitlines()
            raise ConfigurationError(
                f"a worker can't be started here: {lines[-1] if lines else 'it says nothing'}"
            )
        self._start()

    def stop(self) -> None:
        """End it; a call that it runs goes back into the queue."""
        self._stopped = True
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._errors.close()
