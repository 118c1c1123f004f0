"""Jobs run in this process, on the run's servers; what they send is looked up in Redis."""

import pytest


@pytest.fixture(autouse=True)
def _clean(database: None, environ: dict[str, str]) -> None:
    """Every test of the worker begins without rows, and with the environment that the worker's modules read."""
