"""The examples of docs/from-python.md: as scripts, and as cells of one notebook."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.amounts import PATIENCE
from tests.command_line import environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from-python.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIBRARIES = {
    "A grid": (),
    "An executor in a notebook": (),
    "scikit-learn": ("joblib", "sklearn"),
    "Optuna": ("optuna",),
    "Results into pandas, and a plot": ("matplotlib", "pandas"),
}


def examples():
    """Title -> code, and what it prints."""
    found = {}
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        blocks = BLOCK.findall(text)
        code = [block for kind, block in blocks if kind == "python"]
        output = [block for kind, block in blocks if not kind]
        if code:
            found[title] = code[0], output[0] if output else None
    return found


def test_the_five_examples_are_there():
    assert list(examples()) == list(LIBRARIES)


@pytest.mark.parametrize("title", LIBRARIES)
def test_an_example_prints_what_the_page_shows(title, tmp_path):
    for library in LIBRARIES[title]:
        pytest.importorskip(library)
    code, output = examples()[title]
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    if output is not None:
        assert done.stdout == output
    assert "Traceback" not in done.stderr


def test_the_examples_are_cells_of_a_notebook(tmp_path):
    for library in ("nbclient", "ipykernel", "joblib", "sklearn", "optuna", "pandas", "matplotlib"):
        pytest.importorskip(library)
    code = [
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])",
        "import nbclient, nbformat",
        "from tests.functions.test_page import examples",
        "cells = [nbformat.v4.new_code_cell(code) for code, _ in examples().values()]",
        "cells.append(nbformat.v4.new_code_cell(INTERRUPTED))",
        "notebook = nbformat.v4.new_notebook(cells=cells)",
        "client = nbclient.NotebookClient(notebook, timeout=300, allow_errors=True)",
        "client.execute()",
        "nbformat.write(notebook, 'executed.ipynb')",
    ]
    program = f"INTERRUPTED = {INTERRUPTED!r}\n" + "\n".join(code)
    root = str(PAGE.parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program, root],
        cwd=tmp_path,
        env=environment() | {"IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    import nbformat

    notebook = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    for (title, (_, output)), cell in zip(examples().items(), notebook.cells, strict=False):
        errors = [one for one in cell.outputs if one.output_type == "error"]
        assert not errors, f"{title}: {errors[0].evalue}"
        printed = "".join(one.text for one in cell.outputs if one.get("name") == "stdout")
        assert output is None or printed == output, title
    html = str(notebook.cells[1].outputs[-1].data.get("text/html"))
    assert "Model" in html or "score" in html
    last = notebook.cells[-1]
    printed = "".join(one.text for one in last.outputs if one.get("name") == "stdout")
    assert printed == "interrupted\nthreads left: []\nin the queue: []\n", last.outputs


# A cell interrupts itself, as the button of a notebook does.
INTERRUPTED = """
import os, signal, threading, time
from dirjobs import Executor

before = set(threading.enumerate())

def long(seconds):
    import time
    time.sleep(seconds)

try:
    with Executor("jobs", max_workers=1) as executor:
        futures = [executor.submit(long, 3600) for _ in range(3)]
        while not any(future.running() for future in futures):
            time.sleep(0.05)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        futures[0].result()
except KeyboardInterrupt:
    print("interrupted")
left = [one.name for one in threading.enumerate() if one.name.startswith("dirjobs")]
print("threads left:", left)
print("in the queue:", os.listdir("jobs/00_waiting") + os.listdir("jobs/01_running"))
"""


def test_no_example_leaves_a_process(tmp_path):
    code, _ = examples()["A grid"]
    (tmp_path / "example.py").write_text(code)
    subprocess.run([sys.executable, "example.py"], cwd=tmp_path, env=environment(), check=True)
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and _works_in(pid, tmp_path)]
    assert left == []


def _works_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(folder))
    except OSError:
        return False
