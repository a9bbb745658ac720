"""Run by each Python that `wine.py` starts: puts right where Wine 8 is unlike Windows.

Wine opens a path that begins with / on the machine below: Python would find Linux's /proc.
Wine does not tell psutil the program of a process, and has no wininit.exe, which is there from
boot to shutdown: services.exe is.  Wine crashes in its SSPI: pyspnego logs on in Python.
"""

import builtins
import ctypes
import importlib.util
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


class _WithoutSspi:
    """Finds pyspnego's part for SSPI, as if Windows had none."""

    def find_spec(self, name, path, target=None):
        if name != "spnego._sspi":
            return None
        sys.meta_path.remove(self)
        sys.modules["sspilib"] = types.ModuleType("sspilib")
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            module.HAS_SSPI = False

        spec.loader.exec_module = exec_module
        return spec


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
sys.meta_path.insert(0, _WithoutSspi())
try:
    import psutil
except ImportError:  # pip's own environments have none
    pass
else:
    psutil._pswindows.cext.proc_exe = _program
