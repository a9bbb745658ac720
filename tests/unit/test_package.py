"""Each library has one home, nothing heavy is loaded before it is needed, no class is spread
over several.

That imports point one way is import-linter's to hold: `lint-imports`, see pyproject.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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
    "pandas": "table.py",
    "pyarrow": ("table.py", "console/parquet.py"),
    "tqdm": "console/progress.py",
}
HEAVY = (
    *("httpx", "webdav4", "smbprotocol", "smbclient", "fsspec", "rich", "click"),
    *("pandas", "pyarrow", "tqdm", "IPython", "cloudpickle", "joblib"),
)


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


USES = {
    "only imported": "",
    "a job": "dj.add('job.txt'); dj.next_and_lock().done()",
    "what comes of a job": """
dj.add('job.txt', '{"lr": 0.1}')
with dj.next_and_lock() as job:
    job.result(job.params); job.log('here'); job.progress(0.5); job.keep
    (job.out / 'a').touch()
""",
    "a sweep": "dj.add_sweep(a=[1, 2]); list(dj.results()); dj.cancel('a*'); dj.retry('a*')",
}


@pytest.mark.parametrize("use", USES)
def test_a_local_queue_loads_no_library_that_it_does_not_need(tmp_path, use):
    code = f"import sys, dirjobs\nif {use != 'only imported'}:\n"
    code += "    dj = dirjobs.DirJobs(sys.argv[1], job_ext='', create=True)\n"
    code += textwrap.indent(USES[use].strip(), "    ")
    code += f"\nprint(sorted(set({HEAVY}) & sys.modules.keys()))"
    command = [sys.executable, "-c", code, str(tmp_path / "jobs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- classes ----------------------------------------------------------------------------------

STORE, LAYER = ("dirjobs.store", "Store"), ("dirjobs.layers", "Layer")
ERRORS = ("dirjobs.errors", "DirJobsError"), ("dirjobs.errors", "StoreError")


class Classes(ast.NodeVisitor):
    """Every class of the package, and what each inherits from, as (module, name)."""

    def __init__(self):
        self.names = {}  # by module: what a name in it stands for
        self.bases = {}
        for file in PACKAGE.rglob("*.py"):
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            self.folder = parts[:-1]
            self.module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self.names[self.module] = {}
            self.found = []
            self.visit(ast.parse(file.read_text(encoding="utf-8")))

    def visit_Import(self, node):
        for alias in node.names:
            called = alias.asname or alias.name.partition(".")[0]
            self.names[self.module][called] = (alias.name if alias.asname else called, "")

    def visit_ImportFrom(self, node):
        base = ".".join(self.folder[: len(self.folder) - node.level + 1]) if node.level else ""
        module = ".".join(filter(None, (base, node.module)))
        for alias in node.names:
            self.names[self.module][alias.asname or alias.name] = (module, alias.name)

    def visit_ClassDef(self, node):
        self.names[self.module][node.name] = (self.module, node.name)
        self.bases[self.module, node.name] = [(self.module, ast.unparse(b)) for b in node.bases]
        self.generic_visit(node)

    def resolved(self, module, name):
        """The class that `name` stands for in `module`; None if it is none of the package."""
        name = name.partition("[")[0]
        first, _, rest = name.partition(".")
        if (module, name) in self.bases:
            return module, name
        if module not in self.names or first not in self.names[module]:
            return None
        there, what = self.names[module][first]
        if (there, what) == (module, first):
            return None
        if f"{there}.{what}" in self.names:  # a module
            there, what = f"{there}.{what}", ""
        return self.resolved(there, ".".join(filter(None, (what, rest))))

    def parents(self, one):
        return [parent for parent in (self.resolved(*base) for base in self.bases[one]) if parent]

    def is_below(self, one, top):
        return one == top or any(self.is_below(parent, top) for parent in self.parents(one))


def test_no_class_inherits_from_another_one_of_the_package():
    """Except stores, layers, errors and suites of tests: whoever reads a class has read it all."""
    classes = Classes()
    assert {STORE, LAYER, *ERRORS} <= classes.bases.keys()
    assert sum(classes.is_below(one, STORE) for one in classes.bases) > 5
    offenders = {
        f"{one[0]}.{one[1]}({parent[1]})"
        for one in classes.bases
        for parent in classes.parents(one)
        if parent not in (STORE, LAYER)
        and not any(classes.is_below(parent, error) for error in ERRORS)
        and not parent[0].startswith("dirjobs.testing")
    }
    assert offenders == set()
