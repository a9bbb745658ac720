"""Lets joblib know of our backend without importing joblib: ``import dirjobs`` is all."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "joblib.parallel"


def install() -> None:
    """Tell joblib of the backend, now or as soon as somebody imports it."""
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        _tell(loaded)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _tell(parallel: ModuleType) -> None:
    known = getattr(parallel, "BACKENDS", None)
    if isinstance(known, dict):
        known.setdefault("dirjobs", _backend)


def _backend(**options: Any) -> Any:
    """What joblib calls for an instance of the backend."""
    from dirjobs.functions.joblib_backend import DirjobsBackend

    return DirjobsBackend(**options)


class _Finder(MetaPathFinder):
    """Finds joblib's module as others do, and is told when it is there."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002 - found by name, as of any module
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Told(spec.loader)
        return spec


class _Told(Loader):
    """Loads a module as another loader does, then tells it of the backend."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _tell(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
