"""Checks that are as quick as they can be."""

import pytest


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("dirjobs.check.examination._NAMES", 60)
    monkeypatch.setattr("dirjobs.check.files._HALF_SENT", 0.1)
