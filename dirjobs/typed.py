"""JSON whose numbers stay as somebody wrote them."""

from __future__ import annotations

import json
from typing import Any, Self

_LONGEST_WHOLE = 4000
"""Characters of a whole number; Python makes none of many more."""


class Number(str):
    """A number in the notation that was typed: ``0.10`` and ``1e-5`` reach a command so.

    In a file it is a number of JSON.
    """

    __slots__ = ()

    @property
    def is_whole(self) -> bool:
        return self.removeprefix("-").isdecimal()

    @classmethod
    def fraction(cls, text: str) -> Self:
        """For ``parse_float`` of `json`.

        Raises:
            ValueError: no program could read it as a number.
        """
        if abs(float(text)) == float("inf"):
            raise ValueError(f"{text} is larger than any number; write it as a text, in quotes")
        return cls(text)


def text_of(value: object) -> str:
    """A parameter or a result as a text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else to_json(value)


def plain(value: Any) -> Any:
    """A value of JSON with its numbers as those of Python."""
    if isinstance(value, Number):
        return int(value) if value.is_whole and len(value) < _LONGEST_WHOLE else float(value)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def to_json(value: object) -> str:
    """A value as JSON, with its numbers as they were typed.

    Raises:
        ValueError: it has a number that JSON doesn't know.
    """
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)}: {to_json(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(to_json, value))}]"
    return json.dumps(value, ensure_ascii=False)
