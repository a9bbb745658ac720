"""``dirjobs watch`` on a terminal."""

import os
import signal
import sys

import pytest

from tests.command_line import DIRJOBS, environment, make_queue
from tests.terminal import on_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")

OTHER_SCREEN, OTHER_SCREEN_ENDS = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


def terminal(*args, cwd):
    """dirjobs on a terminal."""
    return on_terminal([*DIRJOBS, *args], cwd, environment(TERM="xterm-256color"))


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
        assert screen.text().rstrip().endswith("All jobs are done.")


def test_status_is_drawn_too(tmp_path):
    make_queue(tmp_path / "jobs", "a.txt")
    with terminal("status", "jobs", cwd=tmp_path) as screen:
        assert screen.ended() == 0
        assert "░ " in screen.shown.decode()
        assert b"Nobody works" in screen.shown
