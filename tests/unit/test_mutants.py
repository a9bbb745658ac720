"""The simulation's mutants still change what they mean to change."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.simulation.all_mutants import MUTANTS
from tests.simulation.mutants import MODULES, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_each_line_that_a_mutant_changes_is_there_once(mutant: Mutant) -> None:
    for module, old, new in mutant.patches:
        assert module in MODULES
        spec = find_spec(f"dirjobs.{module}")
        assert spec is not None and spec.origin is not None
        assert Path(spec.origin).read_text(encoding="utf-8").count(old) == 1, f"{module}: {old!r}"
        assert old != new
