"""Read tables of the documents, for tests that compare them with the code."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def table_of(document: str, *, first_column: str, second_column: str) -> list[list[str]]:
    """Return the rows of the Markdown table with these first columns: the header, then the rows below it."""
    markdown = (ROOT / document).read_text(encoding="utf-8")
    (table,) = re.findall(rf"^\| {first_column} \| {second_column} (?:.*\n)(?:\|.*\n)+", markdown, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [row for row in rows if not set(row[0]) <= {"-"}]


def cells_of(document: str, *, first_column: str, second_column: str) -> list[tuple[str, str, str]]:
    """Return each cell of such a table as the first cell of its row, the header of its column, and its text."""
    head, *rows = table_of(document, first_column=first_column, second_column=second_column)
    return [(row[0], column, cell) for row in rows for column, cell in zip(head[1:], row[1:], strict=True)]
