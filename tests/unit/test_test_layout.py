"""Each service has a test file with its name, and no test imports from conftest.py."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SERVICES = sorted(
    path.stem for path in (TESTS.parent / "core" / "services").glob("*.py") if not path.stem.startswith("_")
)
TEST_FILES = {path.name for path in TESTS.rglob("test_*.py")}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_a_test_file_with_its_name(service: str) -> None:
    assert f"test_{service}.py" in TEST_FILES


def test_no_test_imports_from_conftest() -> None:
    """Pytest loads these files by itself; an import could load them a second time, with new module state."""
    importing = [
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if any(line.startswith("from tests") and "conftest" in line for line in path.read_text("utf-8").splitlines())
    ]

    assert importing == []
