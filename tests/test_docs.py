"""The pages for developers: their code runs, their links lead somewhere, their picture is true."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dirjobs
from tests.amounts import THOROUGH
from tests.command_line import environment

EACH_DAY = () if THOROUGH else ("-k", "not raced_by_processes")
ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)\n(?:# (\S+\.\w+)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)

if sys.platform == "win32":
    pytest.skip("the backend of the page needs POSIX locks", allow_module_level=True)


def blocks():
    """The code blocks of the page: file name (or language) -> text."""
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    return {name or language or "output": text for language, name, text in BLOCK.findall(page)}


@pytest.fixture
def here(tmp_path):
    """A folder with the files of the page, and with what pip would make of pyproject.toml."""
    for name, text in blocks().items():
        if "." in name:
            (tmp_path / name).write_text(text, "utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))["project"]
    installed = tmp_path / f"dirjobs_onefile-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def run(here, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=here,
        env=environment(PYTHONPATH=os.pathsep.join((str(here), environment()["PYTHONPATH"]))),
        capture_output=True,
        text=True,
    )


def test_the_example_prints_what_the_page_shows(here):
    done = run(here, "example.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == blocks()["output"]


def test_the_store_passes_the_suite(here):
    done = run(here, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_dirjobs_onefile.py")
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout


def test_a_filesystem_of_fsspec_passes_the_suite(here):
    options = ("-q", "-p", "no:cacheprovider", *EACH_DAY)
    done = run(here, "-m", "pytest", *options, "test_dirjobs_disk.py")
    assert done.returncode == 0, done.stdout
    assert " failed" not in done.stdout


def test_every_test_that_the_page_explains_is_one_of_the_suite():
    from dirjobs.testing import StoreTests

    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    known = [name for name in dir(StoreTests) if name.startswith("test_")]
    for name in re.findall(r"`(test_\w+)(?:\.\.\.)?`", page):
        assert any(test.startswith(name) for test in known), name


def test_the_picture_shows_the_imports_of_today(monkeypatch):
    pytest.importorskip("grimp")  # comes with import-linter
    monkeypatch.syspath_prepend(ROOT / "docs")
    import draw_architecture

    assert draw_architecture.SHOWN.read_text("utf-8") == draw_architecture.draw(), (
        "run python docs/draw_architecture.py"
    )


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page):
    """What a link into the page may name, as GitHub makes it of the headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_name_what_is_there(page):
    text = page.read_text("utf-8")
    for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", text):
        there = (page.parent / link).resolve() if link else page
        if there.is_relative_to(ROOT / "dirjobs"):  # it may be the installed one
            there = Path(dirjobs.__file__).parent / there.relative_to(ROOT / "dirjobs")
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), f"{link}#{anchor}"
