"""The quick part of the model; ``python -m tests.model`` walks through the rest."""

import pytest

from tests.model.configurations import BY_NAME, KILLERS, QUICK
from tests.model.markers import MUTANTS, Limits, Model, explore


@pytest.mark.parametrize("name", QUICK)
def test_no_interleaving_violates_the_protocol(name):
    states, violation = explore(Model(BY_NAME[name]))
    assert violation is None, "\n".join(violation)
    assert states > 1000, "it did not walk far"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_rule_answers_an_interleaving(mutant):
    _, violation = explore(Model(KILLERS[mutant], mutant))
    assert violation is not None


def test_an_unknown_mutant_is_refused():
    with pytest.raises(ValueError, match="no mutant"):
        Model(Limits(), "no such rule")
