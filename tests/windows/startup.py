"""Run by each Python that `wine.py` starts: puts right where Wine 8 is unlike Windows.

Wine opens a path that begins with / on the machine below: Python would find Linux's /proc.
Wine does not tell psutil the program of a process, and has no wininit.exe, which is there from
boot to shutdown: services.exe is.
Wine crashes in sspilib: a module without anything in it stands for it, so that pyspnego, which
imports it, goes on in Python.
"""

import builtins
import ctypes
import io
import sys
import types
from ctypes import wintypes

_open = io.open
_HIDDEN = ("/proc/", "/etc/", "/var/", "/dev/", "/sys/")
_TH32CS_SNAPPROCESS = 2


def _windows_open(file, *args, **options):
    if isinstance(file, str) and file.startswith(_HIDDEN):
        raise FileNotFoundError(2, "No such file or directory", file)
    return _open(file, *args, **options)


class _ProcessEntry(ctypes.Structure):
    """PROCESSENTRY32W."""

    _fields_ = (
        ("size", wintypes.DWORD),
        ("usage", wintypes.DWORD),
        ("pid", wintypes.DWORD),
        ("heap", ctypes.c_size_t),
        ("module", wintypes.DWORD),
        ("threads", wintypes.DWORD),
        ("parent", wintypes.DWORD),
        ("priority", wintypes.LONG),
        ("flags", wintypes.DWORD),
        ("program", wintypes.WCHAR * 260),
    )


def _program(pid):
    """The path of a process's program, as psutil's C part has it."""
    kernel = ctypes.WinDLL("kernel32")
    kernel.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
    kernel.Process32FirstW.argtypes = kernel.Process32NextW.argtypes = (
        wintypes.HANDLE,
        ctypes.POINTER(_ProcessEntry),
    )
    kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    snapshot = kernel.CreateToolhelp32Snapshot(_TH32CS_SNAPPROCESS, 0)
    entry = _ProcessEntry(size=ctypes.sizeof(_ProcessEntry))
    try:
        found = kernel.Process32FirstW(snapshot, entry)
        while found:
            if entry.pid == pid:
                name = entry.program.lower().replace("services.exe", "wininit.exe")
                return rf"C:\windows\system32\{name}"
            found = kernel.Process32NextW(snapshot, entry)
    finally:
        kernel.CloseHandle(snapshot)
    raise ProcessLookupError(3, "no such process")


builtins.open = io.open = _windows_open
sys.modules["sspilib"] = types.ModuleType("sspilib")
try:
    import psutil
except ImportError:  # pip's own environments have none
    pass
else:
    psutil._pswindows.cext.proc_exe = _program
