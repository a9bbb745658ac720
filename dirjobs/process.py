"""Who this process is, in words that another process on the same machine can check."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process on one machine; empty fields are unknown.

    Attributes:
        host: the machine's name, for people.
        machine: which machine, hashed.
        boot: which start of that machine.
        namespace: in which set of process numbers `pid` counts (containers have others).
        pid: the process number.
        started: when the process started, in the machine's own units.
    """

    host: str = ""
    machine: str = ""
    boot: str = ""
    namespace: str = ""
    pid: int = 0
    started: str = ""

    @property
    def is_identified(self) -> bool:
        return bool(self.machine and self.boot and self.namespace and self.pid and self.started)


def this_process() -> Process:
    """This very process."""
    pid = os.getpid()
    return Process(
        host=socket.gethostname(),
        machine=_machine(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        namespace=_namespace(),
        pid=pid,
        started=start_time(pid) or "",
    )


def is_same(one: Process, other: Process) -> bool:
    """Whether both are surely the same process."""
    return (
        one.is_identified
        and _place(one) == _place(other)
        and ((one.pid, one.started) == (other.pid, other.started))
    )


def is_surely_gone(
    other: Process,
    me: Process,
    started_at: Callable[[int], str | None] | None = None,
) -> bool:
    """Whether `other` ran where I run, and is there no more.

    Only the same machine, the same boot and the same process namespace can prove that;
    whatever can't be read proves nothing.
    """
    if not (me.is_identified and other.is_identified and _place(me) == _place(other)):
        return False
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    started = (started_at or start_time)(other.pid)
    return started is not None and started != other.started


def start_time(pid: int) -> str | None:
    """When a process started (Linux: clock ticks since boot); None if unknown."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else None


def group_is_gone(group: int) -> bool:
    """Whether no process of a process group is left; False if that is unknown."""
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return only_zombies(group)


def only_zombies(group: int) -> bool:
    """Whether all processes of a group have ended and are only not buried yet (in a container
    whose first process is no init they never are); False where that can't be seen."""
    dead = []
    try:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            fields = _read(str(stat)).rpartition(")")[2].split()
            if len(fields) > 2 and fields[2] == str(group):
                # The first thread may have ended before the others.
                dead.append(fields[0] in "ZX" and len(os.listdir(stat.parent / "task")) <= 1)
    except OSError:
        return False
    return bool(dead) and all(dead)


def _place(process: Process) -> tuple[str, str, str]:
    return process.machine, process.boot, process.namespace


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@cache
def _machine() -> str:
    """Which machine this is, hashed: its plain id is nobody else's business."""
    plain = _read("/etc/machine-id") or _read("/var/lib/dbus/machine-id") or platform.node()
    return hashlib.sha256(f"dirjobs {plain}".encode()).hexdigest()[:16] if plain else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
