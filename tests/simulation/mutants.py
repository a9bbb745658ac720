"""Protocols that look right and are not: the simulation must find each of them out.

A mutant is the real source with a line or two changed, compiled anew.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.simulation.workers import SimulatedWorker

from .scenarios import Family

MODULES = (
    "protocol.me",
    "protocol.growth",
    "protocol.intents",
    "protocol.store_clock",
    "protocol.look",
    "protocol.copying",
    "protocol.identity",
    "protocol.audit",
    "protocol.agreement",
    "protocol.resolve",
    "protocol.exits",
    "protocol.sweep",
    "protocol.claim",
    "protocol.parts",
    "recovery.control",
    "recovery.staleness",
    "recovery.incarnations",
    "recovery.orphans",
    "recovery.peers",
    "recovery.failure_detector",
    "recovery.punctual",
    "recovery.silence",
    "recovery.membership",
    "worker",
)
"""What a mutant is compiled of, in the order in which they import each other."""


@dataclass(frozen=True)
class Mutant:
    """A changed protocol.

    Attributes:
        name: what it does wrong.
        family: scenarios in which that shows.
        patches: module, old text (there exactly once), new text.
        seed: of the runs; one that shows early what shows rarely.
    """

    name: str
    family: Family
    patches: tuple[tuple[str, str, str], ...] = ()
    seed: str = "mutant"

    @property
    def family_name(self) -> str:
        """The family, if it has a name of its own."""
        return getattr(self.family, "__name__", "").replace("family", "one of its own")


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Let simulated workers run `mutant`."""
    real = SimulatedWorker
    before = (real.me_class, real.parts_class, real.membership_class, real.worker_class)
    try:
        with modules_restored(MODULES):
            for name in MODULES:
                module, source = anew(name, mutant.patches)
                exec(compile(source, f"<mutant of {name}>", "exec"), module.__dict__)
            real.me_class = sys.modules["dirjobs.protocol.me"].Me
            real.parts_class = sys.modules["dirjobs.protocol.parts"].Parts
            real.membership_class = sys.modules["dirjobs.recovery.membership"].Membership
            real.worker_class = sys.modules["dirjobs.worker"].Worker
            yield
    finally:
        real.me_class, real.parts_class, real.membership_class, real.worker_class = before


@contextmanager
def modules_restored(names: Sequence[str]) -> Iterator[None]:
    """While this lasts, modules of the package may be replaced."""
    saved = {name: sys.modules[f"dirjobs.{name}"] for name in names}
    try:
        yield
    finally:
        for name, module in saved.items():
            _put_in_place(f"dirjobs.{name}", module)


def anew(name: str, patches: Sequence[tuple[str, str, str]]) -> tuple[types.ModuleType, str]:
    """A module of the package, still empty, in the place of the real one; and its source.

    Args:
        name: without ``dirjobs.``.
        patches: module, old text (there exactly once), new text; those of others don't count.
    """
    spec = find_spec(f"dirjobs.{name}")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    for where, old, new in patches:
        if where == name:
            assert source.count(old) == 1, f"{name}.py has {source.count(old)} times {old!r}"
            source = source.replace(old, new)
    module = types.ModuleType(f"dirjobs.{name}")
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    _put_in_place(module.__name__, module)
    return module, source


def _put_in_place(name: str, module: types.ModuleType) -> None:
    """Make `module` what is imported as `name`, also by ``from package import module``."""
    sys.modules[name] = module
    package, _, leaf = name.rpartition(".")
    setattr(sys.modules[package], leaf, module)
