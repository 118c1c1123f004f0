"""Where a span of a given length fits between others."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.weather.forecast import Forecast
from core.weather.spans import Span, candidates, free_spans

START = datetime(2026, 5, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LENGTH = 24 * 60


def forecast(hours: int, step: timedelta = HOUR) -> Forecast:
    unknown = (None,) * (hours * HOUR // step)
    return Forecast("tests", START, START, step, *(unknown,) * 7)


def span(start: float, end: float) -> Span:
    """Return the span between two hours of the day."""
    return Span(START + start * HOUR, START + end * HOUR)


def minutes_in(spans: list[Span]) -> list[int]:
    return [
        minute for one in spans for minute in range((one.starts_at - START) // MINUTE, (one.ends_at - START) // MINUTE)
    ]


minute_spans = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 600)).map(
    lambda pair: Span(START + pair[0] * MINUTE, START + sum(pair) * MINUTE)
)
day_parts = st.lists(st.integers(0, LENGTH), min_size=2, max_size=8, unique=True).map(
    lambda bounds: [
        Span(START + begin * MINUTE, START + end * MINUTE)
        for begin, end in zip(sorted(bounds)[::2], sorted(bounds)[1::2], strict=False)
    ]
)


@given(day_parts, st.lists(minute_spans, max_size=8))
def test_exactly_the_minutes_that_are_not_busy_are_free(spans: list[Span], busy: list[Span]) -> None:
    free = list(free_spans(spans, busy))

    assert minutes_in(free) == sorted(set(minutes_in(spans)) - set(minutes_in(busy)))
    assert all(one.starts_at < one.ends_at for one in free)


@given(day_parts, st.integers(1, 600), st.sampled_from([HOUR, 3 * HOUR]), st.integers(1, 24))
def test_a_candidate_has_the_duration_and_stays_where_it_is_free_and_forecast(
    free: list[Span], minutes: int, step: timedelta, hours: int
) -> None:
    known = forecast(hours, step)
    found = list(candidates(free, minutes * MINUTE, known))

    for one in found:
        assert one.ends_at - one.starts_at == minutes * MINUTE
        assert one.starts_at.minute in {0, 15, 30, 45}
        assert known.covers(one.starts_at, one.ends_at)
        assert any(one.inside(gap) == one for gap in free)
    assert found == sorted(set(found))


def test_candidates_begin_with_the_steps_and_where_a_free_span_begins() -> None:
    free = [span(8.1, 11.5), span(20, 20.5)]

    assert list(candidates(free, HOUR, forecast(24))) == [span(8.25, 9.25), span(9, 10), span(10, 11)]
    assert list(candidates([span(8, 17)], 8 * HOUR, forecast(24, 3 * HOUR))) == [span(8, 16), span(9, 17)]


def test_spans_that_only_touch_do_not_overlap() -> None:
    assert not span(8, 9).overlaps(span(9, 10))
    assert span(8, 9.5).overlaps(span(9, 10))
