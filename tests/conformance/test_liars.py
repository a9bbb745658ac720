"""The suite is red on every liar, for the promise that it breaks and for nothing else."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict

from tests.amounts import PATIENCE
from tests.conformance.liars import LIARS

# A liar that breaks its promise in every call fails more; one that only cheats when it is
# raced must be caught by the race alone.
ACROSS = "test_atomic_rename_raced_by_threads"
INSIDE = "test_atomic_rename_in_folder_raced_by_threads"
KEEPS = "test_rename_keeps_the_bytes"
CAUGHT_BY = {
    "CopyingLiar": ({ACROSS}, True),
    "GhostLiar": ({ACROSS}, True),
    "TidyLiar": ({ACROSS}, True),
    "PosixCopyingLiar": (
        {ACROSS, "test_atomic_rename_raced_by_processes"},
        True,
    ),
    "Phantom": ({ACROSS, INSIDE, KEEPS}, False),
    "TornLiar": ({ACROSS, INSIDE, KEEPS}, False),
    "EmptyLiar": ({ACROSS, INSIDE, KEEPS}, False),
    "InFolderLiar": ({INSIDE}, True),
    "OverwritingLiar": ({"test_no_replace_raced_by_threads"}, True),
    "ReplacingLiar": (
        {"test_no_replace_raced_by_threads", "test_rename_never_replaces"},
        True,
    ),
    "GenerousLiar": ({ACROSS, INSIDE}, True),
    "GenerousMkdirLiar": (
        {
            "test_exclusive_mkdir_raced_by_threads",
            "test_mkdir_of_an_existing_folder",
            "test_mkdir_of_an_existing_file",
            "test_mkdir_of_the_existing_root",
        },
        True,
    ),
    "MkdirLiar": ({"test_exclusive_mkdir_raced_by_threads"}, True),
    "CreateLiar": ({"test_exclusive_create_raced_by_threads"}, True),
    "StaleLiar": ({"test_changes_are_visible_in_time"}, False),
    "TouchingLiar": ({"test_rename_keeps_the_mtime"}, True),
}

SUITE = """
import functools
import time
import pytest
from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix import PosixStore
from dirjobs.testing import StoreTests
from tests.conformance.liars import LIARS, CopyingLiar

class Small(StoreTests):
    ROUNDS, RACERS, MANY, MEGABYTES = 15, 6, 20, 1

    @pytest.fixture
    def store(self):
        self.now = 1e6
        return self.liar(MemoryStore(clock=lambda: self.now))

    def let_time_pass(self, store, seconds):
        self.now += seconds

def open_liar(folder):
    return CopyingLiar(PosixStore(folder))

class TestPosixCopyingLiar(Small):
    PROCESS_ROUNDS = 60

    @pytest.fixture
    def store(self, tmp_path):
        return open_liar(str(tmp_path))

    @pytest.fixture
    def reopen(self, tmp_path):
        return functools.partial(open_liar, str(tmp_path))

    def let_time_pass(self, store, seconds):
        time.sleep(seconds)

for liar in LIARS:
    name = f"Test{liar.__name__}"
    globals()[name] = type(name, (Small,), {"liar": liar})
"""


def failures(folder):
    """The tests that failed, by liar: one run of pytest in a process of its own."""
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "--junitxml=report.xml", "test_suite.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    failed = defaultdict(set)
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            liar = case.get("classname").rpartition(".Test")[2]
            failed[liar].add(case.get("name").partition("[")[0])
    return failed


def test_every_liar_is_tried():
    assert {liar.__name__ for liar in LIARS} <= set(CAUGHT_BY)


def test_each_liar_is_caught(tmp_path):
    failed = failures(tmp_path)
    wrong = {
        liar: failed[liar]
        for liar, (caught_by, nothing_else) in CAUGHT_BY.items()
        if not caught_by <= failed[liar] or (nothing_else and failed[liar] != caught_by)
    }
    assert wrong == {}
