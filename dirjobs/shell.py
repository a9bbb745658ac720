"""Command lines as a person types them in this system's shell."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterable

SET = "set" if sys.platform == "win32" else "export"
"""The command that sets a variable of the environment."""
MAKE_FOLDERS = "mkdir" if sys.platform == "win32" else "mkdir -p"
"""The command that makes a folder and those around it."""


def quoted(word: str) -> str:
    """One word, with quotes if it needs them."""
    return typed([word])


def typed(words: Iterable[str]) -> str:
    """A whole command line."""
    return subprocess.list2cmdline([*words]) if sys.platform == "win32" else shlex.join(words)
