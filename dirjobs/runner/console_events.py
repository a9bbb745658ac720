"""What Windows tells a program of its console: that it is closed, or that the system shuts down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event

NAMES = {2: "CTRL_CLOSE_EVENT", 6: "CTRL_SHUTDOWN_EVENT"}
"""Of the events after which Windows ends this process in some seconds.  CTRL_LOGOFF_EVENT is none:
only services get it, which go on, whoever logs off (Microsoft's page on HandlerRoutine)."""


class ConsoleEvents:
    """Calls a listener when the console is closed, and at shutdown.

    Windows ends the process when the handler of such an event returns, and in some 5 seconds in any
    case: so the handler does not return, and what is to be done is done by other threads.  Python's
    own handler for Ctrl-C and Ctrl-Break stays as it is.  On other systems this does nothing.

    Args:
        arrived: is given the event's name, in a thread of Windows.
    """

    def __init__(self, arrived: Callable[[str], None]) -> None:
        self._arrived = arrived
        self._handler: object = None
        self._has_arrived = False

    def begin(self) -> None:
        """Listen, unless Windows refuses: then there is no console."""
        if sys.platform == "win32":
            import ctypes
            from ctypes import wintypes

            kind = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
            self._handler = kind(self.handle)
            ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(self._handler, True)

    def end(self) -> None:
        """Listen no more.  After an event the handler stays: it does not return, and Windows would
        wait for that."""
        if sys.platform == "win32" and self._handler is not None and not self._has_arrived:
            import ctypes

            ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(self._handler, False)
            self._handler = None

    def handle(self, event: int) -> bool:
        """Take in an event; whether it needs no other handler."""
        name = NAMES.get(event)
        if name is None:
            return False
        self._has_arrived = True
        self._arrived(name)
        Event().wait()
        return True
