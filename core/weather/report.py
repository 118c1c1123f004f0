"""The weather of a city, and the errors of fetching it."""

import unicodedata
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


class ProviderUnavailable(Exception):  # noqa: N818 - a state of the provider, not a mistake.
    """The provider sent no valid response; a retry may help. The message contains no secret.

    `retry_after` is how many seconds the provider wants to be left alone, if it has said so. `is_late` is whether the
    time was over before there was a whole response.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, is_late: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_late = is_late


class RequestRejected(ProviderUnavailable):
    """The provider is well, but does not accept this request; a retry will not help."""


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
        """Return the report as a dict, for JSON."""
        return asdict(self)


def city_key(city: str) -> str:
    """Return the key of a city: names that differ only in case, width or white space have the same key."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", city).casefold()).split())
