"""The two providers of weather; each has its own JSON format."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Protocol

from pydantic import SecretStr

from core.config import Settings
from core.weather.conditions import CONDITIONS
from core.weather.outbound import Deadline, JsonClient
from core.weather.report import CityNotFound, ProviderUnavailable, WeatherReport

_LARGEST_NUMBER: Final = 100_000
_LONGEST_TEXT: Final = 200


class WeatherProvider(Protocol):
    """A source of current weather."""

    name: ClassVar[str]
    attribution: ClassVar[str]

    def current(self, city: str) -> WeatherReport:
        """Fetch the current weather of a city.

        Raises:
            CityNotFound: if the provider does not find the city.
            ProviderUnavailable: if there is no valid response in time.
        """
        ...


def provider_for(settings: Settings) -> WeatherProvider:
    """Return the provider: OpenWeather if its API key is set, else Open-Meteo, which needs no key."""
    if settings.openweather_api_key is not None:
        return OpenWeather(settings.openweather_url, settings.openweather_api_key, settings.weather_timeout)
    return OpenMeteo(settings.open_meteo_url, settings.open_meteo_geocoding_url, settings.weather_timeout)


class OpenMeteo:
    """Open-Meteo: the first call finds the coordinates of a city, the second one its weather."""

    name: ClassVar[str] = "open-meteo"
    attribution: ClassVar[str] = "Weather data by Open-Meteo.com (CC BY 4.0)"

    def __init__(self, forecast_url: str, geocoding_url: str, seconds: float) -> None:
        self._forecast = f"{forecast_url.rstrip('/')}/v1/forecast"
        self._search = f"{geocoding_url.rstrip('/')}/v1/search"
        self._seconds = seconds

    def current(self, city: str) -> WeatherReport:
        """Fetch the current weather of a city; both calls share one deadline."""
        with _client_for(self.name, self._seconds) as client:
            found = client.get(self._search, {"name": city, "count": 1, "language": "en", "format": "json"})
            if not found.get("results"):
                raise CityNotFound(city)
            place = found["results"][0]
            forecast = client.get(
                self._forecast,
                {
                    "latitude": place["latitude"],
                    "longitude": place["longitude"],
                    "current": "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m",
                    "wind_speed_unit": "ms",
                    "timezone": "UTC",
                },
            )
            current = forecast["current"]
            return WeatherReport(
                temperature=_number(current["temperature_2m"]),
                feels_like=_number(current["apparent_temperature"]),
                condition=CONDITIONS.get(int(_number(current["weather_code"])), "unknown"),
                humidity=int(_number(current["relative_humidity_2m"])),
                wind_speed=_number(current["wind_speed_10m"]),
                location=_text(place["name"], place.get("country")),
                provider=self.name,
                fetched_at=datetime.now(UTC),
            )


class OpenWeather:
    """OpenWeather: one call by name, with a key."""

    name: ClassVar[str] = "openweather"
    attribution: ClassVar[str] = "Weather data provided by OpenWeather (openweathermap.org)"
    _UNKNOWN_CITY: ClassVar[frozenset[int]] = frozenset({404})

    def __init__(self, url: str, api_key: SecretStr, seconds: float) -> None:
        self._weather = f"{url.rstrip('/')}/data/2.5/weather"
        self._api_key = api_key
        self._seconds = seconds

    def current(self, city: str) -> WeatherReport:
        """Fetch the current weather of a city."""
        parameters = {"q": city, "appid": self._api_key.get_secret_value(), "units": "metric"}
        with _client_for(self.name, self._seconds) as client:
            document = client.get(self._weather, parameters, absent=self._UNKNOWN_CITY)
            if document is None:
                raise CityNotFound(city)
            return WeatherReport(
                temperature=_number(document["main"]["temp"]),
                feels_like=_number(document["main"]["feels_like"]),
                condition=_text(document["weather"][0]["description"]),
                humidity=int(_number(document["main"]["humidity"])),
                wind_speed=_number(document["wind"]["speed"]),
                location=_text(document["name"], document["sys"].get("country")),
                provider=self.name,
                fetched_at=datetime.now(UTC),
            )


@contextmanager
def _client_for(provider: str, seconds: float) -> Iterator[JsonClient]:
    """Yield a client with a deadline; a document of an unexpected shape raises ProviderUnavailable."""
    deadline = Deadline(seconds)
    client = JsonClient(provider, deadline)
    try:
        with deadline.running():
            yield client
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ProviderUnavailable(f"{provider} sent a document of an unknown shape.") from None
    finally:
        client.close()


def _number(value: Any) -> float:
    """Return a number of a document. What cannot be a measurement, such as NaN, raises ValueError."""
    number = float(value)
    if not abs(number) < _LARGEST_NUMBER:
        raise ValueError
    return number


def _text(*parts: Any) -> str:
    """Return texts of a document as one line of bounded length, since all who see the task see this line."""
    joined = ", ".join(str(part) for part in parts if part)
    return "".join(filter(str.isprintable, joined))[:_LONGEST_TEXT]
