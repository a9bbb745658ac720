"""A Python for Windows, under Wine, for tests that run on Linux."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import pytest

from tests.amounts import THOROUGH
from tests.process.drain import Python
from tests.servers.child import require_program
from tests.windows import wine


def as_wine_has_it(path: Path) -> str:
    """A path of this machine, whose root Wine has as a drive."""
    return str(PureWindowsPath("Z:/", path))


@pytest.fixture(scope="session")
def windows_python() -> Iterator[Python]:
    """The interpreter in a prefix of its own, with this dirjobs."""
    if not THOROUGH:
        pytest.skip("takes minutes and 300 MB of packages: set DIRJOBS_THOROUGH=1")
    require_program(wine.WINE, install="apt-get install wine64")
    with tempfile.TemporaryDirectory(prefix="dirjobs-wine-") as folder:
        prefix = Path(folder) / "prefix"
        wine.new_prefix(prefix)
        environment = wine.wine_environment(prefix)
        yield Python([wine.WINE, r"C:\Python311\python.exe"], environment, as_wine_has_it)
        subprocess.run([wine.WINESERVER, "-k"], env=environment, timeout=60, check=False)
