"""Places, their weather now and their forecasts, from Open-Meteo or OpenWeather, without a database or retries."""

from core.weather.open_meteo import OpenMeteo
from core.weather.openweather import OpenWeather
from core.weather.places import FoundPlace, PlaceWeather, Point
from core.weather.providers import WeatherProvider, attribution_of, provider_for
from core.weather.report import ProviderUnavailable, WeatherReport, city_key

__all__ = [
    "FoundPlace",
    "OpenMeteo",
    "OpenWeather",
    "PlaceWeather",
    "Point",
    "ProviderUnavailable",
    "WeatherProvider",
    "WeatherReport",
    "attribution_of",
    "city_key",
    "provider_for",
]
