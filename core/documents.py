"""What a use case answers with: a thing as clients see it."""

from dataclasses import dataclass
from typing import Any

from core.db import fetch_one


@dataclass(frozen=True, slots=True)
class Document:
    """A thing's JSON, most often built by PostgreSQL, with what the answer's headers are made of."""

    id: int
    json: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list as a JSON array, and how many there are on all pages."""

    items: str
    total: int


def fetch_page(sql: str, parameters: dict[str, Any]) -> Page:
    """Run a query whose one row holds the items of a page and the total."""
    row = fetch_one(sql, parameters)
    return Page("[]", 0) if row is None else Page(items=row[0], total=row[1])
