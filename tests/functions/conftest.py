"""A queue, and an executor with two workers on this machine, for all tests of a file."""

import pytest

from dirjobs import Executor
from tests.amounts import PATIENCE

from . import calls


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    return tmp_path_factory.mktemp("queue")


@pytest.fixture(scope="module")
def executor(queue):
    with Executor(queue, max_workers=2, create=True) as executor:
        executor.submit(calls.pid).result(PATIENCE)  # its threads are there before any test's
        yield executor
