"""The fixtures of the end-to-end tests."""

from tests.e2e.fixtures import collector, mail, system, weather

__all__ = ["collector", "mail", "system", "weather"]
