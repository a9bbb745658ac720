#!/usr/bin/env python3
"""Run tests with a Python for Windows, on Wine.

    python tests/windows/wine.py [pytest's arguments ...]

Without arguments: the portable part of the suite.  Needs Python 3.11 with pip, Debian's wine64
(which root gets by apt-get) and PyPI.  $WINE_CACHE, or ~/.cache/dirjobs-wine, keeps a CPython for
Windows, made of the DLLs in panda3d's wheel and of this Python's library; wheels for Windows of
all that the tests need; and a clean Wine prefix, of which each run gets a copy.

What of Wine is unlike Windows, so that tests fail, is in gaps.txt, by the reason.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parent))
import programs

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
CACHE = Path(os.environ.get("WINE_CACHE") or Path.home() / ".cache" / "dirjobs-wine")
WINE = "/usr/lib/wine/wine64"
WINESERVER = "/usr/lib/wine/wineserver64"
PANDA = "panda3d==1.10.16"
"""Its wheel has CPython 3.11.9's DLLs, and OpenSSL's and SQLite's."""
WINDOWS = {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows"}
NEEDED_ON_WINDOWS = ["colorama", "tzdata", "pytest-rerunfailures>=16"]
"""By click and pytest; pip asks the machine that it runs on what is needed.  Not sspilib, by
pyspnego: see startup.py."""
RERUNS = ["--reruns", "2", "--only-rerun", "Internal error"]
"""Wine 8 fails to start one of some thousand programs, for that reason: the test of that one is run
again."""
PORTABLE = (HERE / "portable.txt").read_text().split()
LEFT_OUT = ("dirjobs", ".git", ".nox", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build")
BEGAN = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}", flush=True)


def pip(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments], check=True
    )


def get_wine() -> None:
    """Install Wine where it is missing."""
    if os.path.exists(WINE):
        return
    say("installing wine64")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=env, check=True)
    install = ["apt-get", "install", "-qq", "-y", "-o", "DPkg::Lock::Timeout=60"]
    subprocess.run(
        [*install, "--no-install-recommends", "wine64"],
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def cached(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, which `make` fills when there is none for `key`."""
    folder = CACHE / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=CACHE))
        try:
            make(draft)
            draft.rename(folder)
        except OSError:
            if not folder.exists():  # else another run has made it meanwhile
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def forget_old() -> None:
    """Remove from the cache what was made a month ago: what is still needed is made anew."""
    for folder in ensured(CACHE).iterdir():
        if folder.stat().st_mtime < time.time() - 30 * 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def for_windows(*wanted: str) -> list[str]:
    platform = ["--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp"]
    return [*platform, "--only-binary=:all:", *wanted]


def make_python(folder: Path) -> None:
    """CPython for Windows, without packages."""
    say(f"getting CPython for Windows out of {PANDA}")
    with tempfile.TemporaryDirectory() as temporary:
        pip("download", "--no-deps", "-d", temporary, *for_windows(PANDA))
        (path,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.namelist():
                inside, _, name = member.rpartition("/")
                if inside == "deploy_libs" and not name.lower().startswith(("api-ms-", "_tk")):
                    (folder / name).write_bytes(wheel.read(member))
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        folder / "Lib",
        ignore=shutil.ignore_patterns(
            "site-packages", "dist-packages", "test", "idlelib", "turtledemo", "ensurepip",
            "lib-dynload", "config-*", "sitecustomize.py", "__pycache__", "*.so",
        ),
    )  # fmt: skip
    programs.write_all(folder, "311")


def requirements() -> list[str]:
    """What dirjobs and its tests need on Windows."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    asked = project["project"]["dependencies"] + project["dependency-groups"]["test"]
    found = [Requirement(text) for text in asked]
    wanted = [r for r in found if r.marker is None or r.marker.evaluate(dict(WINDOWS))]
    for requirement in wanted:
        requirement.marker = None
    return [*map(str, wanted), *NEEDED_ON_WINDOWS]


def make_prefix(folder: Path) -> None:
    """A new Wine prefix, as one of Windows 10."""
    say("making a Wine prefix")
    env = wine_environment(folder / "prefix")
    subprocess.run(
        [WINE, "winecfg", "-v", "win10"],
        env=env,
        check=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run([WINESERVER, "-w"], env=env, check=True, timeout=300)


def wine_environment(prefix: Path) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV", "DISPLAY"))
    }
    return {
        **inherited,
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
        "WINEPATH": r"C:\Python311;C:\Python311\Scripts",
    }


def link_or_copy(source: str, target: str) -> str:
    """Wine replaces its registry's files, and writes into no DLL."""
    if source.endswith(".reg"):
        return shutil.copy2(source, target)
    try:
        os.link(source, target)
    except OSError:  # another file system
        return shutil.copy2(source, target)
    return target


def new_prefix(prefix: Path) -> None:
    """A Wine prefix with a Python that has this dirjobs, and with this checkout's tests."""
    key = PANDA + sys.version + Path(programs.__file__).read_text() + Path(__file__).read_text()
    python = cached("python", key, make_python)
    wanted = requirements()

    def make_packages(folder: Path) -> None:
        say("getting packages for Windows")
        pip("install", "--target", str(folder), *for_windows(*wanted))
        shutil.rmtree(folder / "bin", ignore_errors=True)

    week = time.strftime("%G-%V")  # a cache sees new releases a week later
    packages = cached("packages", "\n".join([*wanted, week]), make_packages)
    version = subprocess.run([WINE, "--version"], capture_output=True, text=True, check=True).stdout
    clean = cached("prefix", version, make_prefix)
    shutil.copytree(clean / "prefix", prefix, symlinks=True, copy_function=link_or_copy)
    home = prefix / "drive_c" / "Python311"
    site = home / "Lib" / "site-packages"
    shutil.copytree(python, home, copy_function=link_or_copy)
    shutil.copytree(packages, site, copy_function=link_or_copy, dirs_exist_ok=True)
    shutil.copy(HERE / "startup.py", site / "sitecustomize.py")
    with tempfile.TemporaryDirectory() as temporary:
        pip("wheel", "--no-deps", "-w", temporary, str(CHECKOUT))
        (path,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(site)
    shutil.copytree(
        CHECKOUT, prefix / "drive_c" / "dirjobs", ignore=shutil.ignore_patterns(*LEFT_OUT)
    )


def run(prefix: Path, arguments: list[str]) -> int:
    """Run a program in a prefix and print what it prints; its exit code."""
    env = wine_environment(prefix)
    process = subprocess.Popen(
        [WINE, *arguments],
        cwd=prefix / "drive_c" / "dirjobs",
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # to Wine a file that is only written to is of no kind
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            sys.stdout.buffer.write(piece.replace(b"\r\n", b"\n"))
            sys.stdout.buffer.flush()
        return process.wait()
    finally:
        subprocess.run([WINESERVER, "-k"], env=env, timeout=60, check=False)


def main() -> int:
    if sys.version_info[:2] != (3, 11):
        sys.exit("run this with Python 3.11: the Python for Windows takes its library from it.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # Wine ends with us
    arguments = sys.argv[1:] or ["-q", f"-n{2 * (os.cpu_count() or 1)}", *PORTABLE]
    get_wine()
    forget_old()
    with tempfile.TemporaryDirectory(prefix="run-", dir=ensured(CACHE)) as folder:
        prefix = Path(folder) / "prefix"
        new_prefix(prefix)
        say("pytest " + " ".join(arguments))
        plugins = ["-p", "no:cacheprovider", "-p", "tests.windows.gaps"]
        python = r"C:\Python311\python.exe"
        code = run(prefix, [python, "-m", "pytest", *plugins, *RERUNS, *arguments])
        say(f"exit code {code}")
    return code


def ensured(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
