"""The hourly forecast of a place."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

Series = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Hour:
    """The forecast of one step: °C, %, mm in the whole step, km/h, and a WMO code; None where nothing is known."""

    begins_at: datetime
    ends_at: datetime
    temperature: float | None
    feels_like: float | None
    rain_probability: float | None
    rain: float | None
    weather_code: int | None
    wind: float | None
    gusts: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of one place: a value of each series for each step, from `starts_at` on."""

    provider: str
    fetched_at: datetime
    starts_at: datetime
    step: timedelta
    temperature: Series
    feels_like: Series
    rain_probability: Series
    rain: Series
    weather_code: Series
    wind: Series
    gusts: Series

    @property
    def ends_at(self) -> datetime:
        """The end of the last step; nothing is known from here on."""
        return self.starts_at + len(self.temperature) * self.step

    def at(self, instant: datetime) -> Hour | None:
        """Return the step that contains an instant, or None outside the forecast."""
        number = (instant - self.starts_at) // self.step
        return self._hour(number) if 0 <= number < len(self.temperature) else None

    def between(self, start: datetime, end: datetime) -> Iterator[Hour]:
        """Return the steps that overlap a span, as far as the forecast reaches; an empty span is its instant."""
        first = (start - self.starts_at) // self.step
        after = max(-((self.starts_at - end) // self.step), first + 1)
        for number in range(max(first, 0), min(after, len(self.temperature))):
            yield self._hour(number)

    def covers(self, start: datetime, end: datetime) -> bool:
        """Whether the forecast reaches over a whole span."""
        return self.starts_at <= start and end <= self.ends_at

    def _hour(self, number: int) -> Hour:
        begins_at = self.starts_at + number * self.step
        code = self.weather_code[number]
        return Hour(
            begins_at=begins_at,
            ends_at=begins_at + self.step,
            temperature=self.temperature[number],
            feels_like=self.feels_like[number],
            rain_probability=self.rain_probability[number],
            rain=self.rain[number],
            weather_code=None if code is None else int(code),
            wind=self.wind[number],
            gusts=self.gusts[number],
        )
