"""The rules that a reader relies on: who imports whom, who opens the database, who reads the environment."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = {
    path.relative_to(PROJECT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for room in ("api", "core", "worker", "celeryconfig.py")
    for path in ([PROJECT / room] if room.endswith(".py") else sorted((PROJECT / room).rglob("*.py")))
}
FORBIDDEN = {
    "core": {"api", "worker", "celeryconfig", "falcon", "celery", "kombu", "uvicorn"},
    "api": {"worker"},
    "worker": {"api", "falcon", "uvicorn"},
}
PROCESS_ENTRIES = {"api/__main__.py", "api/asgi.py", "core/__main__.py", "worker/app.py", "celeryconfig.py"}
# They hand the environment on to the processes that they start, and read nothing from it.
STARTERS_OF_PROCESSES = {"core/local/embedded/servers.py", "core/local/run.py"}
LONGEST_MODULE = 320


def imported_rooms(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def attributes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every `name.attribute` in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


@pytest.mark.parametrize("room", FORBIDDEN)
def test_api_and_worker_import_core_and_never_the_other_way_or_each_other(room: str) -> None:
    offenders = {
        path: imported_rooms(tree) & FORBIDDEN[room]
        for path, tree in SOURCES.items()
        if path.startswith(f"{room}/") and imported_rooms(tree) & FORBIDDEN[room]
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


# `core.db` lets nothing but a unit of work write (tests/core/test_db.py). These two keep anybody from going round it.
def test_the_database_is_reached_through_core_db_alone() -> None:
    holders = {path for path, tree in SOURCES.items() if "database" in names_imported_from("core.db", tree)}
    holders |= {path for path, tree in SOURCES.items() if ("db", "database") in set(attributes(tree))}
    makers = {path for path, tree in SOURCES.items() if "PostgresqlDatabase" in names_imported_from("peewee", tree)}

    assert holders == {"core/models/base.py"}
    assert makers == {"core/db.py", "core/migrations.py"}


def test_no_statement_begins_or_ends_a_transaction_by_itself() -> None:
    transaction = re.compile(r"\b(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|READ WRITE|default_transaction_read_only)\b")
    offenders = {path for path, tree in SOURCES.items() if any(map(transaction.search, texts(tree)))}

    assert offenders == {"core/db.py"}


def test_only_process_entries_read_the_environment() -> None:
    readers = {path for path, tree in SOURCES.items() if {("os", "environ"), ("os", "getenv")} & set(attributes(tree))}

    assert readers - STARTERS_OF_PROCESSES <= PROCESS_ENTRIES


def test_no_module_has_become_two_rooms() -> None:
    lengths = {path: len((PROJECT / path).read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [path for path, tree in SOURCES.items() if tree.body and not ast.get_docstring(tree)]

    assert silent == []
