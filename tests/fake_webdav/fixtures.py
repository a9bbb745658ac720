"""Fixtures: import them into a conftest.py or a test module.

from tests.fake_webdav.fixtures import serve_fake, self_signed_tls
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from .server import FakeWebDAV
from .tls import self_signed

ServeFake = Callable[..., FakeWebDAV]


class TLS(NamedTuple):
    context: ssl.SSLContext
    certificate: str
    """Path of what a client may be told to trust."""


@pytest.fixture
def serve_fake() -> Iterator[ServeFake]:
    """Start fakes: `serve_fake(personality, ...)`, with the arguments of FakeWebDAV.

    At the end they are stopped, errors of their handlers and hooks are raised, and every
    fault added must have fired.
    """
    started: list[FakeWebDAV] = []

    def serve(*args: object, **options: object) -> FakeWebDAV:
        server = FakeWebDAV(*args, **options)  # type: ignore[arg-type]
        server.start()
        started.append(server)
        return server

    try:
        yield serve
    finally:
        for server in started:
            if server.is_running():
                server.stop()
    for server in started:
        server.check()
        server.faults.assert_all_fired()


@pytest.fixture(scope="session")
def self_signed_tls(tmp_path_factory: pytest.TempPathFactory) -> TLS:
    return TLS(*self_signed(str(tmp_path_factory.mktemp("tls"))))


def need(program: str | None, install: str) -> str:
    """`program`, if it is there.

    Skips the test with the line to install it; fails where CI=true.
    """
    if program is None:
        verdict = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        verdict(f"run `{install}` for this test.")
    assert program is not None
    return program
