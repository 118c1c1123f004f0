"""What a use case returns: things and lists as clients see them, in JSON that PostgreSQL has most often built.

Besides these a use case returns nothing, or plain data (a dict or a dataclass) where there is no JSON to begin with.
"""

from dataclasses import dataclass
from typing import Any

from core.db import read


@dataclass(frozen=True, slots=True)
class Representation:
    """A thing's JSON, with what the headers of a response are made of. Its id is 0 where it has none of its own."""

    id: int
    json: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list, as a JSON array."""

    items: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list as a JSON array, and how many there are on all pages."""

    items: str
    total: int


@dataclass(frozen=True, slots=True)
class CursorPage(Page):
    """A page with the cursor of the next one, or None where it is the last."""

    next_cursor: str | None


def fetch_page(sql: str, parameters: dict[str, Any]) -> Page:
    """Run a query whose one row holds the items of a page and the total."""
    items, total = read(sql, parameters).fetch_exactly_one()
    return Page(items, total)
