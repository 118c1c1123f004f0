"""What is known of a city's weather, and what can stand in the way of knowing it."""

import unicodedata
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


class CityNotFound(Exception):  # noqa: N818 - an answer of the provider, not a mistake.
    """The provider knows no such city; asking again will not help."""


class ProviderUnavailable(Exception):  # noqa: N818 - a state of the provider, not a mistake.
    """The provider did not answer, or not sensibly; asking again later may help. The message holds no secret."""


@dataclass(frozen=True, slots=True)
class WeatherReport:
    """The current weather: temperatures in °C, humidity in %, wind in m/s."""

    temperature: float
    feels_like: float
    condition: str
    humidity: int
    wind_speed: float
    location: str
    provider: str
    fetched_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """The report with plain values, as it becomes JSON."""
        return asdict(self)


def city_key(city: str) -> str:
    """Fold the spellings of a city: what differs only in case, width or white space is one city."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", city).casefold()).split())
