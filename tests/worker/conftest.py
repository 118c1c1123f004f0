"""The tests run jobs in this process with the servers of the test run, and read sent jobs from Redis."""

import pytest


@pytest.fixture(autouse=True)
def _clean(database: None, environ: dict[str, str]) -> None:
    """Start every test with empty tables, and with the environment that the modules of the worker read."""
