"""The fixtures of the tests that inject faults: the same running system as in the end-to-end tests."""

from tests.e2e.fixtures import weather

__all__ = ["weather"]
