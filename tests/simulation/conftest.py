"""Thousands of simulated outages need not be told."""

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet(the_log_stays_as_it_was: None) -> None:
    logging.getLogger("dirjobs").setLevel(logging.CRITICAL)
