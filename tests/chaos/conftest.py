"""The fixtures of the tests that inject faults: the same running system as in the end-to-end tests."""

from tests.e2e.fixtures import collector, mail, system, weather

__all__ = ["collector", "mail", "system", "weather"]
