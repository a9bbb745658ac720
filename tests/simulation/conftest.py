"""Thousands of simulated outages need not be told."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    log = logging.getLogger("dirjobs")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)
