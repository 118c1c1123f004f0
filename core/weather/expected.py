"""The weather that is expected over a span, as one value of each kind, and in words."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final, Self

from core.messages import Message, msg
from core.weather.forecast import Hour

_DRY_BELOW_MM: Final = 0.1
_RISK_FROM_PERCENT: Final = 20
_GUSTS_FROM_KM_H: Final = 40


@dataclass(frozen=True, slots=True)
class Expected:
    """The mean temperature in °C, the highest probability of rain in %, all rain in mm, the highest wind in km/h.

    `gusts` are the highest ones, in km/h too. A value is None if no hour of the span has one.
    """

    temperature: float | None
    rain_probability: float | None
    rain: float | None
    wind: float | None
    gusts: float | None

    @classmethod
    def over(cls, hours: Sequence[Hour]) -> Self:
        """Sum up the hours of a span."""
        return cls(
            temperature=_of((hour.temperature for hour in hours), fmean),
            rain_probability=_of((hour.rain_probability for hour in hours), max),
            rain=_of((hour.rain for hour in hours), math.fsum),
            wind=_of((hour.wind for hour in hours), max),
            gusts=_of((hour.gusts for hour in hours), max),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)

    def in_words(self) -> Message:
        """Return a short text such as "dry, 14 °C, 12 km/h"; it is empty if nothing is known."""
        parts = {f"part{number}": part for number, part in enumerate(self._parts())}
        return Message(", ".join(f"{{{name}}}" for name in parts), **parts)

    def _parts(self) -> Iterator[str]:
        rain = self._rain()
        if rain is not None:
            yield rain
        if self.temperature is not None:
            yield f"{round(self.temperature)} °C"
        if self.wind is not None:
            yield Message("{speed} {unit}", speed=round(self.wind), unit=msg("km/h"))
        if self.gusts is not None and self.gusts >= _GUSTS_FROM_KM_H:
            yield msg("gusts of {speed} km/h", speed=round(self.gusts))

    def _rain(self) -> Message | None:
        amount, risk = self.rain, self.rain_probability
        if amount is None and risk is None:
            return None
        if amount is not None and amount >= _DRY_BELOW_MM:
            most = math.ceil(amount)
            if risk is None:
                return msg("up to {amount} mm of rain", amount=most)
            return msg("up to {amount} mm of rain ({risk} %)", amount=most, risk=round(risk))
        if risk is not None and risk >= _RISK_FROM_PERCENT:
            return msg("a {risk} % chance of rain", risk=round(risk))
        return msg("dry")


def _of(values: Iterable[float | None], summary: Callable[[list[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return round(summary(known), 1) if known else None
