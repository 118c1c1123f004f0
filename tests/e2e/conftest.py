"""The fixtures of the end-to-end tests."""

from tests.e2e.fixtures import mail, system, weather

__all__ = ["mail", "system", "weather"]
