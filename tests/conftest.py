"""What all tests share: how many run at once, and figures that are printed at the end."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.amounts import PATIENCE

Figures = Callable[[str], None]

# Who runs tests in the background may ignore these; what tests start must not inherit that.
# (A handler of our own is not inherited, and we go on as before.)
for number in {getattr(signal, "SIGHUP", signal.SIGINT), signal.SIGINT}:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs in several processes, more than there are cores, for much of it
    waits; a part of it in one."""
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    return (os.cpu_count() or 1) + 3 if whole else 0


@pytest.fixture(scope="session", autouse=True)
def nothing_is_kept_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers of tests, and those that they start, keep results of jobs elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIRJOBS_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        yield


@pytest.fixture(scope="session", autouse=True)
def true_and_false_are_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Many tests run ``true`` or ``false``, which Windows lacks."""
    with pytest.MonkeyPatch.context() as patch:
        if os.name == "nt":
            folder = tmp_path_factory.mktemp("bin")
            for name, code in (("true", 0), ("false", 1)):
                (folder / f"{name}.cmd").write_text(f"@exit /b {code}\r\n", newline="")
            patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def the_log_stays_as_it_was() -> Iterator[None]:
    """Commands that run in this process set it up for a terminal, and simulations silence it."""
    log = logging.getLogger("dirjobs")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate, log.level = before
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_thread_of_dirjobs_is_left() -> Iterator[None]:
    """What a test leaves open speaks up in the middle of another one.  Threads of fixtures that
    many tests share are there before a test."""
    before = set(threading.enumerate())
    yield
    new = set(threading.enumerate()) - before
    # The event loop of SFTP is one for a process, and stays.
    left = [t for t in new if t.name.startswith("dirjobs") and t.name != "dirjobs-sftp"]
    for thread in left:
        thread.join(0.1)  # most are about to end
    if any(thread.is_alive() for thread in left):
        gc.collect()  # whose queue or executor is garbage in a circle ends then
    for thread in left:
        thread.join(PATIENCE)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that all users of this machine can reach: those of pytest are private, and made so
    again whenever somebody else's tests begin."""
    with tempfile.TemporaryDirectory(prefix="dirjobs-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        if not all(above.stat().st_mode & 0o001 for above in folder.parents):
            pytest.skip(f"other users can't reach {folder.parent}")
        yield folder


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """Say something that was measured: it is printed at the end, whoever ran the test."""

    def tell(text: str) -> None:
        record_property("figures", text)

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        f"{report.nodeid}: {text}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, text in report.user_properties
        if name == "figures"
    ]
    if told:
        terminalreporter.section("figures")
        for line in sorted(told):
            terminalreporter.write_line(line)
