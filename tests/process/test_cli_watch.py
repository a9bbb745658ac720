"""``dirjobs watch`` on a terminal."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.amounts import PATIENCE
from tests.command_line import DIRJOBS, environment, make_queue

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")

OTHER_SCREEN, OTHER_SCREEN_ENDS = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


class Terminal:
    """A command on a terminal of its own.

    Args:
        args: of dirjobs.
        cwd: where it runs.
    """

    def __init__(self, *args, cwd):
        import fcntl
        import struct
        import termios

        self.ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.shown = b""
        self.process = subprocess.Popen(
            [*DIRJOBS, *args],
            cwd=cwd,
            env=environment(TERM="xterm-256color"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def read(self):
        """Something more; nothing when the command has ended."""
        try:
            more = os.read(self.ours, 65536)
        except OSError:  # nobody has the other end any more
            more = b""
        self.shown += more
        return more

    def wait_for(self, text):
        while text not in self.shown:
            assert self.read(), self.shown

    def ended(self):
        """The exit code, once it has ended."""
        while self.read():
            pass
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def terminal(*args, cwd):
    opened = Terminal(*args, cwd=cwd)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.ours)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_is_drawn_until_somebody_ends_it(tmp_path, number, code):
    queue = make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    with terminal("watch", "jobs", "--interval", "0.1", cwd=tmp_path) as screen:
        screen.wait_for(b"2 waiting")
        (queue / "00_waiting" / "c.txt").touch()
        screen.wait_for(b"3 waiting")
        assert HIDE_CURSOR in screen.shown
        screen.process.send_signal(number)
        assert screen.ended() == code
        drawn, _, left = screen.shown.partition(OTHER_SCREEN_ENDS)
        assert OTHER_SCREEN in drawn
        assert SHOW_CURSOR in screen.shown
        assert b"3 waiting" in left
        assert b"Traceback" not in screen.shown


def test_it_ends_by_itself_when_asked_to(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a.txt")
    with terminal("watch", "jobs", "--until-done", "--interval", "0.1", cwd=tmp_path) as screen:
        screen.wait_for(b"1 waiting")
        (queue / "02_done").mkdir()
        os.rename(queue / "00_waiting" / "a.txt", queue / "02_done" / "a.txt")
        assert screen.ended() == 0
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", screen.shown).decode()
        assert text.rstrip().endswith("All jobs are done.")


def test_status_is_drawn_too(tmp_path):
    make_queue(tmp_path / "jobs", "a.txt")
    with terminal("status", "jobs", cwd=tmp_path) as screen:
        assert screen.ended() == 0
        assert "░ " in screen.shown.decode()
        assert b"Nobody works" in screen.shown
