"""Command lines as a person types them in this system's shell."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

SET = "set" if sys.platform == "win32" else "export"
"""The command that sets a variable of the environment."""
MAKE_FOLDERS = "mkdir" if sys.platform == "win32" else "mkdir -p"
"""The command that makes a folder and those around it."""
UNTYPABLE = "..."
"""In the place of a word that no quotes make safe."""
_PLAIN = re.compile(r"[\w./\\:=+-][\w./\\:=+~-]*")
"""What neither cmd nor PowerShell takes for anything but a word."""
_ACTS_IN_QUOTES = re.compile(r'["“”„`]|\$[\w({?^$:]')
"""What ends a text in double quotes in cmd or PowerShell, or is replaced in it by what a command
prints.  (PowerShell takes typographic quotes for quotes.)"""


def quoted(word: str) -> str:
    """One word, with quotes if it needs them, so that it can be pasted whoever has chosen it;
    `UNTYPABLE` on Windows if no quotes do for both of its shells."""
    if sys.platform == "win32" and _ACTS_IN_QUOTES.search(word):
        return UNTYPABLE
    return typed([word])


def typed(words: Iterable[str]) -> str:
    """A whole command line, to be read: on Windows it may hold words that PowerShell or cmd act on
    even in quotes."""
    if sys.platform == "win32":
        return " ".join(map(_for_windows, words))
    return shlex.join(words)


def _for_windows(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    # A program takes a backslash before a quote for an escape, and two for one.
    escaped = re.sub(r'(\\*)"', r"\1\1\"", word)
    ended = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f'"{ended}"'
