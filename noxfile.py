"""The project's checks: `nox` runs them all, `nox -s tests` one of them."""

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "typing", "tests", "readme", "docs"]

PROJECT = nox.project.load_toml("pyproject.toml")
LEFT_OUT = shutil.ignore_patterns(
    "dirjobs", ".git", ".nox", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "dist"
)


def needs(group):
    # Resolved here: the pip that comes with Python 3.11 knows no --group.
    return nox.project.dependency_groups(PROJECT, group)


def away_from_the_sources(session):
    """Everything but the package itself, so that tests can only import the installed one."""
    folder = Path(session.create_tmp()).resolve() / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(".", folder, ignore=LEFT_OUT)
    session.chdir(folder)


@nox.session
def lint(session):
    """Ruff: defects and format; import-linter: imports point one way; bandit."""
    session.install(*needs("lint"), ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("bandit", "-q", "-c", "pyproject.toml", "-r", "dirjobs")


@nox.session
def typing(session):
    """Mypy, strict, for Linux and for Windows."""
    session.install(*needs("lint"), *needs("test"), ".")
    session.run("mypy")
    session.run("mypy", "--platform", "win32")


@nox.session
def tests(session):
    """The test suite against the installed wheel; arguments go to pytest."""
    session.install(*needs("test"), ".")
    away_from_the_sources(session)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def readme(session):
    """What the README and the pages for users show, run with the installed wheel."""
    session.install(*needs("test"), ".")
    away_from_the_sources(session)
    session.run("python", "-m", "pytest", "tests/test_readme.py", *session.posargs)


@nox.session
def docs(session):
    """The pages as a site, in site/; a link that leads nowhere fails it."""
    session.install(*needs("docs"))
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(python="3.11")
def wine(session):
    """The portable part of the suite with a Python for Windows; arguments go to pytest."""
    session.install("packaging>=24")
    session.run("python", "tests/windows/wine.py", *session.posargs)


@nox.session
def audit(session):
    """Known holes in what we install; needs PyPI itself, a mirror knows of none."""
    session.install("pip-audit>=2.9", ".")
    session.run("pip-audit", "--progress-spinner=off")


@nox.session
def oldest(session):
    """Unit and command tests with the oldest releases that pyproject.toml allows."""
    constraints = Path(session.create_tmp()).resolve() / "oldest.txt"
    constraints.write_text(session.run("python", ".ci/oldest", silent=True))
    session.install(*needs("test"), ".", "-c", str(constraints))
    away_from_the_sources(session)
    session.run("python", "-m", "pytest", "tests/unit", "tests/cli", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def pythons(session):
    """Unit and command tests on each Python that is there."""
    session.install(*needs("test"), ".")
    away_from_the_sources(session)
    session.run("python", "-m", "pytest", "tests/unit", "tests/cli", *session.posargs)
