"""The storm blows over the same running system as the end-to-end tests."""

from tests.e2e.conftest import mail, system, weather

__all__ = ["mail", "system", "weather"]
