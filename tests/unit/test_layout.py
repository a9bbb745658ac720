"""Each library has one home, and nothing heavy is loaded before it is needed.

That imports point one way is import-linter's to hold: `lint-imports`, see pyproject.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import dirjobs

PACKAGE = Path(dirjobs.__file__).parent
LIBRARIES = {
    "httpx": "backends/webdav/",
    "httpcore": "backends/webdav/",
    "webdav4": "backends/webdav/",
    "smbprotocol": "backends/smb/",
    "smbclient": "backends/smb/",
    "spnego": "backends/smb/",
    "click": ("cli/", "console/"),
    "rich": ("cli/", "console/"),
    "psutil": "recovery/process.py",
    "pytest": "testing/",
}


def imports_of(file: Path) -> set[str]:
    """Absolute names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    folder = ("dirjobs", *file.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(folder[: len(folder) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, set[str]]:
    files = PACKAGE.rglob("*.py")
    return {file.relative_to(PACKAGE).as_posix(): imports_of(file) for file in files}


def test_only_its_backend_knows_a_library():
    for name, imports in modules().items():
        for library, home in LIBRARIES.items():
            used = any(i == library or i.startswith(f"{library}.") for i in imports)
            assert not used or name.startswith(home), f"{name} imports {library}"


def test_a_local_queue_loads_no_network_library(tmp_path):
    code = (
        "import sys; from dirjobs import DirJobs\n"
        "with DirJobs(sys.argv[1]) as dj:\n"
        "    dj.add('job.txt'); dj.next_and_lock().done()\n"
        "heavy = {'httpx', 'webdav4', 'smbprotocol', 'smbclient', 'fsspec', 'rich', 'click'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "jobs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
