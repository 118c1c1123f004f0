"""The results of use cases: things and lists as clients see them, in JSON that PostgreSQL builds in most cases.

A use case that returns none of these types returns None, or plain data (a dict or a dataclass) that is not JSON yet.
"""

from dataclasses import dataclass
from typing import Any, NewType

from peewee import SQL

from core.db import read
from core.errors import FieldError, Invalid
from core.messages import msg
from core.models.base import BaseModel


@dataclass(frozen=True, slots=True)
class Representation:
    """A thing's JSON, with the id and the version for the response headers. The id is 0 if the thing has none."""

    id: int
    json: str
    version: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list, as a JSON array."""

    items: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list as a JSON array, and how many items there are on all pages, or None if nobody asked for it."""

    items: str
    total: int | None


@dataclass(frozen=True, slots=True)
class CursorPage(Page):
    """A page with the cursor of the next page, or None if it is the last page."""

    next_cursor: str | None


def not_a_cursor() -> Invalid:
    """Return the failure for a cursor that is no `CursorPage.next_cursor` of the list."""
    return Invalid([FieldError("cursor", msg("is not a cursor of this list"))])


ListingStatement = NewType("ListingStatement", str)
PageStatement = NewType("PageStatement", str)


def listing_statement(model: type[BaseModel], *, where: str, order: str) -> ListingStatement:
    """Build the statement of a whole list, once, when its module is imported.

    `where` and `order` are SQL over the model's table.
    """
    table = model.table()
    return ListingStatement(
        f"SELECT coalesce(json_agg({model.json()} ORDER BY {order}), '[]')::text FROM {table} WHERE {where}"
    )


def page_statement(model: type[BaseModel], *, where: str, order: str, json: str | None = None) -> PageStatement:
    """Build the statement of a paged list, once, when its module is imported: the items and the total, of one `where`.

    `where`, `order` and `json` (an item's form, unless it is the model's own) are SQL over the model's table.
    """
    table = model.table()
    return PageStatement(f"""
        SELECT coalesce(json_agg({json or model.json()} ORDER BY {order}), '[]')::text,
               {total_of_page(f"(SELECT count(*) FROM {table} WHERE {where})", read="%(limit)s")}
        FROM (SELECT * FROM {table} WHERE {where} ORDER BY {order} OFFSET %(skip)s LIMIT %(limit)s) {table}
    """)


def total_of_page(counted: str, *, read: str) -> str:
    """Return the SQL of the total of a list, in the statement that reads a page of it.

    A page that ends before the limit knows the total: `skip` and its own items. Only otherwise PostgreSQL evaluates
    `counted`, the SQL that counts. `read` is the SQL of how many rows the statement reads at most.
    """
    return f"""CASE WHEN count(*) < {read} AND (count(*) > 0 OR %(skip)s = 0) THEN %(skip)s + count(*)
               ELSE {counted} END"""


def fetch_listing(statement: ListingStatement, **parameters: Any) -> Listing:
    """Read a whole list in one round trip."""
    return Listing(read(statement, parameters).fetch_value())


def fetch_page(statement: PageStatement, skip: int, limit: int, **parameters: Any) -> Page:
    """Read up to `limit` items of a list, without its first `skip` ones, and the total, in one round trip."""
    items, total = read(statement, parameters | {"skip": skip, "limit": limit}).fetch_exactly_one()
    return Page(items, total)


def write_one(query: Any) -> Representation:
    """Run a query of peewee that inserts or changes one row; returns that row as it is now, in the same round trip."""
    model = query.model
    ((row_id, json),) = query.returning(model.id, SQL(f"{model.json()}::text")).tuples().execute()
    return Representation(row_id, json)
