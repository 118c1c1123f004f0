"""Importing a batch: an invalid line affects only itself, and a failure of the service rolls back the batch."""

from typing import Any

import orjson
import pytest

from core.errors import Conflict, FieldError, Invalid, Unavailable
from core.policy import Actor
from core.services.transfer import START, Line, Refusal, import_batch, read_own_page
from tests.builders import QUOTA
from tests.sql import execute

LINES = [Line(number, text) for number, text in enumerate([b"first", b"second", b"third"], start=2)]


def reader(failures: dict[bytes, Exception]) -> Any:
    """Return a function that reads a line as a title, or raises the failure given for it."""

    def read(text: bytes) -> dict[str, Any]:
        if text in failures:
            raise failures[text]
        return {"title": text.decode()}

    return read


def describe(refusal: Refusal) -> dict[str, Any]:
    return {"line": refusal.line, "why": [error.message for error in refusal.errors]}


def test_an_invalid_line_does_not_affect_the_others(alice: Actor) -> None:
    mistakes = [FieldError("title", "is too plain")]

    failures: dict[bytes, Exception] = {b"first": Invalid(mistakes), b"third": Conflict("It is there.")}

    refusals = orjson.loads(import_batch(alice, LINES, QUOTA, reader(failures), describe).json)

    assert refusals == [{"line": 2, "why": ["is too plain"]}, {"line": 4, "why": ["It is there."]}]
    assert len(read_own_page(alice, START).tasks) == 1


def test_an_interrupted_batch_creates_nothing(alice: Actor) -> None:
    with pytest.raises(Unavailable):
        import_batch(alice, LINES, QUOTA, reader({b"third": Unavailable("Down.")}), describe)

    assert execute("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM events)").fetchone() == (0, 0)
