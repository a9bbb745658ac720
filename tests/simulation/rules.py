"""The rules of the protocol, read from its source: each must decide some run."""

from __future__ import annotations

import ast
import inspect
from collections import Counter

from dirjobs.protocol import claim, exits, identity, resolve, sweep

DRAWN_BY = {
    "claim older than its job: the clock was set back": "clocks",
    "finish: copied, the source stays": "stuck",
    "not the file that was listed: a job of its own": "used_names",
    "rename: a copy may still grow: waited": "stuck",
}
"""Rules of which family `any` draws no occasion, and the family that does."""


def all_rules() -> set[str]:
    """Every name by which the protocol counts its decisions."""
    rules = set()
    for module in (claim, exits, identity, resolve, sweep):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and _called(node.func) == "count":
                (rule,) = node.args
                assert isinstance(rule, ast.Constant), ast.unparse(node)
                rules.add(rule.value)
    return rules


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def never_decided(decided: Counter[str]) -> list[str]:
    """The rules of family `any` that are not among those that have decided."""
    return sorted(rule for rule in all_rules() - DRAWN_BY.keys() if not decided[rule])
