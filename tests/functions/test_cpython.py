"""CPython's own tests of executors, with ours in the place of its own.

They come with Python's test suite, which most installations leave out; nothing of it is copied
here.  What is not run, and why:

- tests of thread and process pools themselves (their queues, their initializers, the contexts of
  `multiprocessing`, crashes inside the pool's own pickling): ours has no such parts;
- ``ExecutorShutdownTest``: what happens to calls when the interpreter ends.  A pool waits for them;
  ours leaves them in the queue;
- ``FutureTests``: of `concurrent.futures.Future` itself, from which ours inherits.
"""

import importlib.util
import shutil
import sys
import sysconfig
import tempfile
import unittest
from pathlib import Path

import pytest

from dirjobs import Executor
from tests.amounts import PATIENCE
from tests.servers.child import missing

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PLACES = [Path(sysconfig.get_path("stdlib")), Path(f"/usr/lib/python{VERSION}")]
TESTS = {
    "ExecutorTest": """
        submit submit_keyword map map_exception map_timeout shutdown_race_issue12456
        no_stale_references max_workers_negative free_reference""",
    "WaitTests": """
        20369 first_completed first_completed_some_already_completed first_exception
        first_exception_some_already_complete first_exception_one_already_failed
        all_completed timeout""",
    "AsCompletedTests": """
        no_timeout zero_timeout duplicate_futures free_reference_yielded_future
        correct_timeout_exception_msg""",
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The module of CPython's tests, from a folder with nothing else in it."""
    found = [place / "test" / "test_concurrent_futures.py" for place in PLACES]
    found = [file for file in found if file.exists()]
    if not found:
        missing(f"needs CPython's tests: apt-get install libpython{VERSION}-testsuite")
    folder = tmp_path_factory.mktemp("cpython")
    shutil.copy(found[0], folder)
    name = "test_concurrent_futures"
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, f"test_{name}") for group, names in TESTS.items() for name in names.split()],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_of_cpython(suite, group, name, tmp_path):
    class Ours(suite.ExecutorMixin, getattr(suite, group), suite.BaseTestCase):
        worker_count = 2

        def setUp(self):
            super().setUp()
            # The first call waits for a worker's start, which these tests allow five seconds.
            self.executor.submit(abs, 0).result(PATIENCE)

        @staticmethod
        def executor_type(max_workers=None):
            return Executor(tempfile.mkdtemp(dir=tmp_path), max_workers=max_workers, create=True)

    result = unittest.TestResult()
    Ours(name).run(result)
    problems = [text for _, text in result.errors + result.failures]
    assert not problems, problems[0]
    assert result.testsRun == 1
    assert not result.skipped
