"""A plugin for pytest that leaves out what Wine, unlike Windows, can't do: see gaps.txt.

Daily it also leaves out what a test does by WebDAV after it did the same in a folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.amounts import THOROUGH


def gaps() -> dict[str, str]:
    """The reason by the beginning of a test's id: a comment is of all lines that follow it."""
    found, reason, fresh = {}, "", True
    for line in Path(__file__).with_name("gaps.txt").read_text("utf-8").splitlines():
        if line.startswith("#"):
            text = line.removeprefix("#").strip()
            reason, fresh = (f"{reason} {text}" if fresh else text), True
        elif line.strip():
            found[line.strip()] = reason
            fresh = False
    return found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = gaps()
    for item in items:
        whole = item.nodeid.partition("[")[0]
        parents = [whole.rsplit("::", times)[0] for times in range(whole.count("::") + 1)]
        for name in (item.nodeid, *parents):
            if name in known:
                item.add_marker(pytest.mark.skip(reason=f"Wine: {known[name]}"))
        if not THOROUGH and re.search(r"\[(.*-)?WebDAV(-.*)?\]$", item.nodeid):
            item.add_marker(pytest.mark.skip(reason="DIRJOBS_THOROUGH=1 does this on Wine"))
