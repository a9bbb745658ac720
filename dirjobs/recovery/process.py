"""Who this process is, in words that another process on the same machine can check.

A process proves the death of another one only where both run on one machine, in one boot of
it, and count processes alike.  What can't be read, or depends on a clock that somebody may
set, proves nothing: then the lease decides.

On Linux all of that comes from /proc.  psutil's times there move with the clock, and to its
`pid_exists` a process hidden by the mount option ``hidepid`` is gone.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from dirjobs.protocol.records import Text

if TYPE_CHECKING:
    import psutil

_LINUX = sys.platform == "linux"
_IOREG = ("/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
_GUID_KEY = r"SOFTWARE\Microsoft\Cryptography"
ProcessNumber = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_LARGEST = 2**31 - 1
"""No system gives a process a larger number, and psutil understands none."""
_SURELY_LATER = 1.0
"""Seconds between two starts that are no inaccuracy of one."""


@dataclass(frozen=True)
class Process:
    """One process on one machine; empty fields are unknown.

    Attributes:
        host: the machine's name, for people.
        machine: which machine, hashed.
        boot: which start of that machine.
        namespace: in which set of process numbers `pid` counts (containers have others).
        pid: the process number.
        started: when the process started, see `start_time`.
    """

    host: Text = ""
    machine: Text = ""
    boot: Text = ""
    namespace: Text = ""
    pid: ProcessNumber = 0
    started: Text = ""

    @property
    def is_identified(self) -> bool:
        return bool(self.machine and self.boot and self.namespace and self.pid and self.started)


def this_process() -> Process:
    """This very process."""
    pid = os.getpid()
    return Process(
        host=socket.gethostname(),
        machine=_machine(),
        boot=_boot(),
        namespace=_namespace(),
        pid=pid,
        started=start_time(pid) or "",
    )


def is_same(one: Process, other: Process) -> bool:
    """Whether both are surely the same process."""
    return (
        one.is_identified
        and _place(one) == _place(other)
        and one.pid == other.pid
        and not _started_apart(one.started, other.started)
    )


def is_surely_gone(
    other: Process,
    me: Process,
    started_at: Callable[[int], str | None] | None = None,
) -> bool:
    """Whether `other` ran where I run, and runs no more.

    Only the same machine, the same boot and the same process namespace can prove that;
    whatever can't be read proves nothing.
    """
    if not (me.is_identified and other.is_identified and _place(me) == _place(other)):
        return False
    if not 0 < other.pid <= _LARGEST:  # written by no dirjobs
        return False
    if _is_free(other.pid):
        return True
    started = (started_at or start_time)(other.pid)
    if started is None:
        return False
    return _started_apart(started, other.started) or is_zombie(other.pid)


def start_time(pid: int) -> str | None:
    """When a process started, by no clock that anybody sets; None if unknown.

    Linux: clock ticks since boot.  Elsewhere: seconds after `_first_process` started.
    """
    if _LINUX:
        stat = _read(f"/proc/{pid}/stat")
        fields = stat.rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 else None
    # psutil corrects macOS' times by how far the clock was set since psutil was imported:
    # two processes may read two times of one start, but the same difference of two starts.
    before, started, after = _first_start(), _create_time(pid), _first_start()
    if started is None or before is None or before != after:
        return None
    return f"{started - before:.6f}"


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and is only not buried yet (in a container whose first
    process is no init it never is); False if that is unknown."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        # On Linux the first thread may have ended before the others.
        return not _LINUX or process.num_threads() <= 1
    except (psutil.Error, OSError):
        return False


def resume(pid: int) -> None:
    """Let a process go on that was suspended, unless it has ended.

    Raises:
        OSError: it can't be resumed.
    """
    import psutil

    try:
        psutil.Process(pid).resume()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise PermissionError(errno.EPERM, str(error)) from error


def group_is_gone(group: int) -> bool:
    """Whether no process of a process group is left; False if that is unknown."""
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # a number that no system has was not written by dirjobs
        return False
    return only_zombies(group)


def only_zombies(group: int) -> bool:
    """Whether a process group has members, and all of them are zombies; False if that is
    unknown."""
    import psutil

    try:
        members = [pid for pid in psutil.pids() if _group_of(pid) == group]
    except (psutil.Error, OSError):
        return False
    return bool(members) and all(map(is_zombie, members))


def _group_of(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _place(process: Process) -> tuple[str, str, str]:
    return process.machine, process.boot, process.namespace


def _started_apart(one: str, other: str) -> bool:
    """Whether two start times are surely not those of one process."""
    if "." not in one + other:
        return one != other
    try:
        return abs(float(one) - float(other)) > _SURELY_LATER
    except ValueError:
        return False


def _is_free(pid: int) -> bool:
    """Whether no process has this number; False if that is unknown."""
    if sys.platform == "win32":  # where os.kill(pid, 0) sends Ctrl-C
        import psutil

        try:
            return not psutil.pid_exists(pid)
        except (psutil.Error, OSError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


# -- the machine and its boot -----------------------------------------------------------------


@cache
def _machine() -> str:
    """Which machine this is, hashed: its plain id is nobody else's business."""
    plain = _machine_id()
    return hashlib.sha256(f"dirjobs {plain}".encode()).hexdigest()[:16] if plain else ""


def _machine_id() -> str:
    """What no other machine says of itself; copies of a disk may, in another boot."""
    if sys.platform == "win32":
        guid = _windows_guid()
        # Copied with the disk, and the machines of a pool are switched on together.
        return f"{guid} {platform.node()}" if guid else ""
    if sys.platform == "darwin":
        return _mac_uuid()
    return _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id") or platform.node()


def _windows_guid() -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    try:
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _GUID_KEY, 0, access) as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    except OSError:
        return ""


def _mac_uuid() -> str:
    try:
        told = subprocess.run(_IOREG, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r'"IOPlatformUUID" = "([^"]+)"', told.stdout)
    return found[1] if found else ""


def _boot() -> str:
    """Which boot of this machine; empty if unknown.

    Not `psutil.boot_time`, which moves with the clock, and tells no copies of a machine apart
    that are switched on in the same second.
    """
    if _LINUX:
        return _read("/proc/sys/kernel/random/boot_id")
    first = _first_start()
    return "" if first is None else f"{first:.6f}"


def _first_start() -> float | None:
    """When `_first_process` started: the same for all who ask in one boot, to some
    microseconds, and whatever the clock is set to, unless psutil knew an earlier clock."""
    first = _first_process()
    return None if first is None else _create_time(first)


@cache
def _first_process() -> int | None:
    """A process that is there from boot to shutdown; None if none is to be seen (a jail)."""
    if sys.platform != "win32":
        return 1
    import psutil

    named = [p.pid for p in psutil.process_iter() if _name_of(p) == "wininit.exe"]
    return min(named, key=lambda pid: _create_time(pid) or math.inf, default=None)


def _name_of(process: psutil.Process) -> str:
    """The name of a process's program in small letters; empty if the system does not tell."""
    import psutil

    try:
        return str(process.name()).lower()
    except (psutil.Error, OSError):
        return ""


def _create_time(pid: int) -> float | None:
    import psutil

    try:
        # Where the system won't tell, psutil says 0 of some processes of Windows.
        return float(psutil.Process(pid).create_time()) or None
    except (psutil.Error, OSError):
        return None


def _namespace() -> str:
    if not _LINUX:
        return sys.platform
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def memory_of(group: int) -> int:
    """Bytes of memory that a process group uses (on Windows: a process and its descendants),
    each shared page counted once as far as the system tells."""
    import psutil

    found = []
    if sys.platform == "win32":
        with suppress(psutil.Error, OSError):
            leader = psutil.Process(group)
            found = [leader, *leader.children(recursive=True)]
    else:
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):  # it has ended
                if os.getpgid(pid) == group:
                    found.append(psutil.Process(pid))
    used = 0
    for process in found:
        with suppress(psutil.Error, OSError):  # some psutils raise what Windows says
            used += _memory(process)
    return used


def _memory(process: psutil.Process) -> int:
    import psutil

    if _LINUX:
        with suppress(psutil.AccessDenied, AttributeError):  # another user's
            return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)


def has_children() -> bool:
    """Whether a process that this one has started runs, or has not been waited for."""
    if sys.platform == "win32":
        import psutil

        return bool(psutil.Process().children())
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
