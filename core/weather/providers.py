"""The providers of weather, and which one an installation uses."""

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from core.config import Settings
from core.weather.open_meteo import CUSTOMERS_HOSTS, FREE_HOSTS, OpenMeteo
from core.weather.openweather import OpenWeather
from core.weather.places import FoundPlace, PlaceWeather, Point


class WeatherProvider(Protocol):
    """A source of places and of their weather.

    Every method raises `ProviderUnavailable` if there is no valid response in time.
    """

    name: ClassVar[str]
    attribution: ClassVar[str]
    """What is to be shown wherever the data is shown, as the license of the provider requires."""
    points_per_call: ClassVar[int]
    """How many points `forecasts()` takes at most."""
    calls_per_point: ClassVar[int]
    """How many calls the provider counts for the weather of one point."""

    def search(self, name: str, limit: int, *, seconds: float | None = None) -> list[FoundPlace]:
        """Find up to `limit` places by their name, the best match first, within `seconds` if they are given."""
        ...

    def forecasts(self, points: Sequence[Point]) -> list[PlaceWeather | None]:
        """Fetch the weather of points, in their order; None for a point for which there is none."""
        ...


_ATTRIBUTIONS: Final = {provider.name: provider.attribution for provider in (OpenMeteo, OpenWeather)}


def attribution_of(provider: str) -> str:
    """Return what is to be shown beside stored data of the provider with this name."""
    return _ATTRIBUTIONS[provider]


def provider_for(settings: Settings) -> WeatherProvider:
    """Return the provider: OpenWeather if its API key is set, else Open-Meteo, which needs no key."""
    if settings.openweather_api_key is not None:
        return OpenWeather(settings.openweather_url, settings.openweather_api_key, settings.weather_timeout)
    forecast_host, geocoding_host = FREE_HOSTS if settings.open_meteo_api_key is None else CUSTOMERS_HOSTS
    return OpenMeteo(
        settings.open_meteo_url or forecast_host,
        settings.open_meteo_geocoding_url or geocoding_host,
        settings.weather_timeout,
        settings.open_meteo_api_key,
    )
