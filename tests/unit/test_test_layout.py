"""The tests of a use case are found by its name, and what tests share is found outside of conftest.py."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SERVICES = sorted(
    path.stem for path in (TESTS.parent / "core" / "services").glob("*.py") if not path.stem.startswith("_")
)
TEST_FILES = {path.name for path in TESTS.rglob("test_*.py")}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_tests_of_its_name(service: str) -> None:
    assert f"test_{service}.py" in TEST_FILES


def test_nobody_imports_from_conftest() -> None:
    """Pytest loads these files by itself; an import may load them a second time, with all that they hold."""
    importing = [
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if any(line.startswith("from tests") and "conftest" in line for line in path.read_text("utf-8").splitlines())
    ]

    assert importing == []
