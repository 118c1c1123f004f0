"""The fixtures of the end-to-end tests."""

from tests.e2e.fixtures import weather

__all__ = ["weather"]
