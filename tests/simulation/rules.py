"""The rules of the protocol, read from its source: each must decide some run."""

from __future__ import annotations

import ast
import inspect
from collections import Counter

from dirjobs.protocol import claim, give_back, resolve

_BOTH_WAYS = ("mine", "not mine")


def all_rules() -> set[str]:
    """Every key that the protocol counts its decisions by."""
    rules = set()
    for module in (claim, give_back, resolve):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "decided"
            ):
                key = node.slice
                if isinstance(key, ast.Constant):
                    rules.add(key.value)
                elif isinstance(key, ast.JoinedStr):
                    text = key.values[0]
                    assert isinstance(text, ast.Constant)
                    rules |= {f"{text.value}{way}" for way in _BOTH_WAYS}
    return rules


def never_decided(decided: Counter[str]) -> list[str]:
    return sorted(rule for rule in all_rules() if not decided[rule])
