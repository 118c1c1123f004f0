"""Validation of input: which errors are reported for which field, and that sent values are not repeated."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from api.http import validation
from api.http.fields import LARGEST_ID, AsciiDigits, Day, Identifier, Input, Instant, PageQuery, Verbatim
from api.http.validation import JsonText, Pairs, validate
from core.errors import Invalid


class Part(Input):
    name: Annotated[str, Field(min_length=1)]


class Everything(Input):
    text: str = ""
    verbatim: Annotated[str, Verbatim] = ""
    color: Literal["red", "green"] = "red"
    count: Annotated[int, Field(ge=0), AsciiDigits] = 0
    ratio: float = 0.0
    flag: bool = False
    owner_id: Identifier | None = None
    at: Instant | None = None
    on: Day | None = None
    since: Instant | Day | None = None
    parts: tuple[Part, ...] = ()
    anything: dict[str, Any] | None = None


class Needs(Input):
    title: str
    part: Part


def sent(content: Any) -> JsonText:
    text = orjson.dumps(content)
    return JsonText(text, content)


def mistakes(model: type[Input], what: JsonText | Pairs) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        validate(model, what)
    assert caught.value.__context__ is None, "pydantic's error holds what was sent"
    reported = {error.field: error.message for error in caught.value.errors}
    assert len(reported) == len(caught.value.errors)
    return reported


class TestBodies:
    def test_valid_input_is_read(self) -> None:
        filled = validate(
            Everything, sent({"text": "  x ", "verbatim": " x ", "count": 3, "ratio": 1, "parts": [{"name": "a"}]})
        )

        assert (filled.text, filled.verbatim, filled.count, filled.ratio) == ("x", " x ", 3, 1.0)
        assert filled.parts == (Part(name="a"),)

    def test_all_errors_are_reported_together_with_their_paths(self) -> None:
        body = {"text": 1, "color": "blue", "count": -1, "parts": [{"name": "a"}, {"name": ""}, {}], "surprise": 1}

        assert mistakes(Everything, sent(body)) == {
            "text": "must be a string",
            "color": "must be 'red' or 'green'",
            "count": "must be at least 0",
            "parts.1.name": "must have a length of at least 1",
            "parts.2.name": "is required",
            "surprise": "is not known here",
        }

    def test_missing_fields_are_reported(self) -> None:
        assert mistakes(Needs, sent({})) == {"title": "is required", "part": "is required"}

    @pytest.mark.parametrize("body", [[], "text", 1, None, True])
    def test_a_body_must_be_an_object(self, body: Any) -> None:
        assert mistakes(Everything, sent(body)) == {"": "must be a JSON object"}

    def test_a_nested_part_must_be_an_object(self) -> None:
        assert mistakes(Needs, sent({"title": "x", "part": []})) == {"part": "must be a JSON object"}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("count", "1"),
            ("count", 1.0),
            ("count", True),
            ("flag", 1),
            ("flag", "true"),
            ("ratio", "1"),
            ("owner_id", 0),
            ("owner_id", LARGEST_ID + 1),
            ("at", 1_700_000_000),
            ("at", "1700000000"),
            ("on", 20_000),
        ],
    )
    def test_values_of_other_types_are_not_converted(self, field: str, value: Any) -> None:
        assert list(mistakes(Everything, sent({field: value}))) == [field]

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"text": "a\x00b"}, "text"),
            ({"parts": [{"name": "x"}, {"name": "\x00"}]}, "parts.1.name"),
            ({"anything": {"deep": [[{"er": "\x00"}]]}}, "anything.deep.0.0.er"),
            ({"anything": {"k\x00": 1}}, "anything.k\x00"),
        ],
    )
    def test_nul_is_found_at_any_depth(self, body: Any, path: str) -> None:
        assert mistakes(Everything, sent(body)) == {path: "must not hold the character NUL"}

    def test_nul_is_reported_together_with_other_errors(self) -> None:
        assert list(mistakes(Everything, sent({"text": "\x00", "count": -1}))) == ["text", "count"]

    def test_the_escape_sequence_of_nul_as_text_is_allowed(self) -> None:
        assert validate(Everything, sent({"text": "\\u0000"})).text == "\\u0000"

    def test_the_size_of_the_reported_errors_is_limited(self) -> None:
        reported = mistakes(Everything, sent({str(number) + "k" * 5000: "\x00" for number in range(900)}))
        assert len(reported) <= 50
        assert sum(map(len, reported)) <= 50 * 40

    def test_the_first_mistakes_are_listed(self) -> None:
        reported = mistakes(Everything, sent({"parts": [{}] * 60}))
        assert list(reported) == [f"parts.{number}.name" for number in range(50)]

    def test_mistakes_are_not_built_if_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(validation, "_schema_mistakes", pytest.fail)
        reported = mistakes(Everything, sent({"text": "\x00", "parts": [{}] * 1001}))
        assert reported == {"": "has too many mistakes to list them"}

    @given(st.text(min_size=12, alphabet=st.characters(categories=["L", "N"])))
    def test_a_value_is_never_repeated(self, value: str) -> None:
        body = dict.fromkeys(set(Everything.model_fields) - {"text", "verbatim"}, value + "!")

        assert value not in repr(mistakes(Everything, sent(body)).values())

    def test_error_messages_of_pydantic_do_not_repeat_values(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Everything.model_validate({"count": "s3cret"})
        assert "s3cret" not in str(caught.value)


class TestQueries:
    def test_texts_are_converted(self) -> None:
        filled = validate(Everything, Pairs({"count": "3", "flag": "true", "owner_id": "7", "on": "2026-05-01"}))

        assert (filled.count, filled.flag, filled.owner_id, filled.on) == (3, True, 7, date(2026, 5, 1))

    def test_a_parameter_may_be_given_only_once(self) -> None:
        assert mistakes(Everything, Pairs({"count": ["1", "2"]})) == {"count": "must be given only once"}

    @pytest.mark.parametrize(("name", "value"), [("text", "\x00"), ("te\x00xt", "x")])
    def test_nul_is_refused(self, name: str, value: str) -> None:
        assert "NUL" in mistakes(Everything, Pairs({name: value}))[name]

    @pytest.mark.parametrize("number", ["1_0", "+5", " 5", "5 ", "१२", "1.0", "0x1", "", "1e3", "9" * 5000])
    def test_a_number_must_consist_of_ascii_digits(self, number: str) -> None:
        assert mistakes(Everything, Pairs({"count": number})) == {"count": "must be a whole number"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [("skip", "-1"), ("skip", str(2**31)), ("limit", "0"), ("limit", "1001"), ("limit", "9" * 30)],
    )
    def test_a_page_has_bounds(self, name: str, value: str) -> None:
        assert list(mistakes(PageQuery, Pairs({name: value}))) == [name]

    def test_a_page_has_defaults(self) -> None:
        page = validate(PageQuery, Pairs({}))
        assert (page.skip, page.limit) == (0, 100)

    def test_alternatives_are_reported_together(self) -> None:
        assert mistakes(Everything, Pairs({"since": "soon"})) == {
            "since": "must be a time with its zone, such as 2026-05-01T09:00:00Z, or must be a date, such as 2026-05-01"
        }


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2026-05-01T09:00:00Z", datetime(2026, 5, 1, 9, tzinfo=UTC)),
            ("2026-05-01t11:00:00.5+02:00", datetime(2026, 5, 1, 9, 0, 0, 500_000, tzinfo=UTC)),
            ("1900-01-01T00:00:00+14:00", datetime(1899, 12, 31, 10, tzinfo=UTC)),
        ],
    )
    def test_a_time_becomes_utc(self, text: str, instant: datetime) -> None:
        filled = validate(Everything, sent({"at": text}))

        assert filled.at == instant
        assert filled.at.tzinfo is UTC

    def test_a_time_is_written_with_z(self) -> None:
        filled = validate(Everything, sent({"at": "2026-05-01T11:00:00+02:00"}))
        assert '"at":"2026-05-01T09:00:00Z"' in filled.model_dump_json()

    @pytest.mark.parametrize(
        "text",
        [
            "2026-05-01T09:00:00",
            "2026-05-01",
            "2026-05-01T09:00Z",
            "20260501T090000Z",
            "2026-W18-5T09:00:00Z",
            "2026-02-30T09:00:00Z",
            "2026-05-01T25:00:00Z",
            "2026-05-01T09:00:00+99:00",
            "२०२६-05-01T09:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "tomorrow",
            "",
        ],
    )
    def test_an_invalid_time_is_refused(self, text: str) -> None:
        assert list(mistakes(Everything, sent({"at": text}))) == ["at"]

    @pytest.mark.parametrize(
        "text", ["2026-05-01T00:00:00", "20260501", "2026-02-30", "0001-01-01", "9999-12-31", "1", "5"]
    )
    def test_an_invalid_day_is_refused(self, text: str) -> None:
        assert list(mistakes(Everything, Pairs({"on": text}))) == ["on"]
