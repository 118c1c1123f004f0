"""Rules of the architecture: allowed imports, and which modules use the database and the environment."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = {
    path.relative_to(PROJECT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for package in ("api", "core", "worker", "celeryconfig.py")
    for path in ([PROJECT / package] if package.endswith(".py") else sorted((PROJECT / package).rglob("*.py")))
}
FORBIDDEN = {
    "core": {"api", "worker", "celeryconfig", "falcon", "celery", "kombu", "uvicorn"},
    "api": {"worker"},
    "worker": {"api", "falcon", "uvicorn"},
}
PROCESS_ENTRIES = {"api/__main__.py", "core/__main__.py", "core/cli/__main__.py", "worker/app.py", "celeryconfig.py"}
# These modules only pass the environment to the processes that they start.
STARTERS_OF_PROCESSES = {"core/local/embedded/servers.py", "core/local/run.py"}
LONGEST_MODULE = 320


def imported_packages(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def attributes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield every `name.attribute` of a module as a pair."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_do_not_import_forbidden_packages(package: str) -> None:
    offenders = {
        path: imported_packages(tree) & FORBIDDEN[package]
        for path, tree in SOURCES.items()
        if path.startswith(f"{package}/") and imported_packages(tree) & FORBIDDEN[package]
    }

    assert offenders == {}


def names_imported_from(module: str, tree: ast.AST) -> set[str]:
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# In `core.db` only a unit of work can write (see tests/core/test_db.py). The next two tests check that all code
# uses `core.db`.
def test_only_core_db_opens_the_database() -> None:
    holders = {path for path, tree in SOURCES.items() if "database" in names_imported_from("core.db", tree)}
    holders |= {path for path, tree in SOURCES.items() if ("db", "database") in set(attributes(tree))}
    makers = {path for path, tree in SOURCES.items() if "PostgresqlDatabase" in names_imported_from("peewee", tree)}

    assert holders == {"core/models/base.py"}
    assert makers == {"core/db.py", "core/migrations.py"}


def test_only_core_db_contains_transaction_statements() -> None:
    transaction = re.compile(r"\b(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|READ WRITE|default_transaction_read_only)\b")
    offenders = {path for path, tree in SOURCES.items() if any(map(transaction.search, texts(tree)))}

    assert offenders == {"core/db.py"}


def test_only_process_entries_read_the_environment() -> None:
    readers = {path for path, tree in SOURCES.items() if {("os", "environ"), ("os", "getenv")} & set(attributes(tree))}

    assert readers - STARTERS_OF_PROCESSES <= PROCESS_ENTRIES


def test_no_module_is_too_long() -> None:
    lengths = {path: len((PROJECT / path).read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_every_module_has_a_docstring() -> None:
    undocumented = [path for path, tree in SOURCES.items() if tree.body and not ast.get_docstring(tree)]

    assert undocumented == []
