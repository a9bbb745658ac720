"""Run by each Python that `wine.py` starts: puts right where Wine 8 is unlike Windows.

Wine opens a path that begins with / on the machine below: Python would find Linux's /proc.
Wine does not tell psutil the program of a process, and has no wininit.exe, which is there from
boot to shutdown: services.exe is.  Wine crashes in its SSPI: pyspnego logs on in Python.

Tests start hundreds of Pythons: each pays for nothing that it does not use.
"""

import builtins
import io
import sys

_open = io.open
_HIDDEN = ("/proc/", "/etc/", "/var/", "/dev/", "/sys/")


def _windows_open(file, *args, **options):
    if isinstance(file, str) and file.startswith(_HIDDEN):
        raise FileNotFoundError(2, "No such file or directory", file)
    return _open(file, *args, **options)


def _without_sspi(execute, module):
    sys.modules["sspilib"] = type(sys)("sspilib")
    execute(module)
    module.HAS_SSPI = False


def _with_programs(execute, module):
    execute(module)
    module._pswindows.cext.proc_exe = _program


def _program(pid):
    """The path of a process's program, as psutil's C part has it."""
    import ctypes
    from ctypes import wintypes

    class Entry(ctypes.Structure):
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

    of_processes = 2
    kernel = ctypes.WinDLL("kernel32")
    kernel.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
    kernel.Process32FirstW.argtypes = (wintypes.HANDLE, ctypes.POINTER(Entry))
    kernel.Process32NextW.argtypes = (wintypes.HANDLE, ctypes.POINTER(Entry))
    kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    snapshot = kernel.CreateToolhelp32Snapshot(of_processes, 0)
    entry = Entry(size=ctypes.sizeof(Entry))
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


_CHANGES = {"spnego._sspi": _without_sspi, "psutil": _with_programs}


class _Changed:
    """Finds modules that are changed when they are imported."""

    def find_spec(self, name, path, target=None):
        change = _CHANGES.pop(name, None)
        if change is None:
            return None
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: change(execute, module)
        return spec


builtins.open = io.open = _windows_open
sys.meta_path.insert(0, _Changed())
