"""A place on each of the real stores, and workers for it."""

import pytest

from tests.amounts import THOROUGH
from tests.fake_webdav.fixtures import serve_fake  # noqa: F401
from tests.process.backends import BACKENDS
from tests.process.crew import Crew


@pytest.fixture(params=[each for each in BACKENDS if each != "openssh" or THOROUGH])
def backend(request, tmp_path):
    yield from BACKENDS[request.param](tmp_path)


@pytest.fixture
def place(backend):
    return backend[0]


@pytest.fixture
def server(backend):
    return backend[1]


@pytest.fixture
def crew(place, tmp_path):
    folder = tmp_path / "journals"
    folder.mkdir()
    crew = Crew(place, folder)
    yield crew
    crew.end()
