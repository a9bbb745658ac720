"""Checks that are as quick as they can be."""

import pytest


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("dirjobs.check.file_semantics._HALF_SENT", 0.1)
