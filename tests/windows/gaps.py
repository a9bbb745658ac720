"""A plugin for pytest that leaves out what Wine, unlike Windows, can't do: see gaps.txt.

Daily it also leaves out what is the same on each system: what a test does by WebDAV after it did
the same in a folder, and the modules of `LIKE_ELSEWHERE`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.amounts import THOROUGH

LIKE_ELSEWHERE = (
    "tests/cli/test_many.py",  # figures of many jobs
    "tests/cli/test_objects.py",  # what servers answer
    "tests/cli/test_refusals.py",
    "tests/cli/test_work_outages.py",
    "tests/cli/test_work_refused.py",
    "tests/queue/test_slow_copies.py",
    "tests/unit/test_objects.py",
    "tests/queue/test_no_removal.py",  # what is written in the source
    "tests/unit/test_package.py",
    "tests/unit/test_printing.py",
)


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
        by_webdav = re.search(r"\[(.*-)?WebDAV(-.*)?\]$", item.nodeid)
        if not THOROUGH and (by_webdav or item.nodeid.startswith(LIKE_ELSEWHERE)):
            item.add_marker(pytest.mark.skip(reason="DIRJOBS_THOROUGH=1 does this on Wine"))
