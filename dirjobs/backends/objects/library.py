"""The library of requests, loaded afresh in a forked child.

obstore keeps threads of its own for all requests of a process.  A child has none of them: its
first request would wait for ever.  The child gets a copy of the library, with new threads.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from types import ModuleType
from typing import Any

_NATIVE = "obstore._obstore"


class _Loaded:
    """What this process has loaded.

    Attributes:
        pid: the process.
        used: whether requests were made, so that there are threads.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pid = 0
        self.used = False
        self.module: Any = None


_loaded = _Loaded()


def require() -> None:
    """See to it that the library is there.

    Raises:
        ImportError: it is not installed, or broken.
    """
    importlib.import_module("obstore")


def library() -> Any:
    """The library, to be used by this process: the module ``obstore`` or a copy of it."""
    pid = os.getpid()
    if _loaded.pid != pid:
        with _loaded.lock:
            if _loaded.pid != pid:
                fresh = _loaded.used and _loaded.pid != 0
                _loaded.module = _copy() if fresh else importlib.import_module("obstore")
                _loaded.pid = pid
    _loaded.used = True
    return _loaded.module


def _copy() -> ModuleType:
    """A copy of the library, with statics of its own."""
    original = sys.modules[_NATIVE].__file__
    if original is None:
        raise ImportError("obstore can't be loaded a second time: its file is not known")
    ours = {name: module for name, module in sys.modules.items() if _is_part(name)}
    for name in ours:
        del sys.modules[name]
    folder = tempfile.mkdtemp(prefix="dirjobs-obstore-")
    try:
        path = shutil.copy(original, folder)
        loader = importlib.machinery.ExtensionFileLoader(_NATIVE, path)
        spec = importlib.util.spec_from_loader(_NATIVE, loader)
        assert spec is not None
        native = importlib.util.module_from_spec(spec)
        sys.modules[_NATIVE] = native
        loader.exec_module(native)
        return importlib.import_module("obstore")
    finally:
        for name in [name for name in sys.modules if _is_part(name)]:
            del sys.modules[name]
        sys.modules.update(ours)
        shutil.rmtree(folder, ignore_errors=True)


def _is_part(name: str) -> bool:
    return name == "obstore" or name.startswith("obstore.")


def _fresh_lock() -> None:
    """In a forked child: the thread that held it doesn't exist here."""
    _loaded.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)
