"""The weather of a city, from Open-Meteo or OpenWeather, without a database, a cache or retries."""

from core.weather.providers import OpenMeteo, OpenWeather, WeatherProvider, provider_for
from core.weather.report import CityNotFound, ProviderUnavailable, WeatherReport, city_key

__all__ = [
    "CityNotFound",
    "OpenMeteo",
    "OpenWeather",
    "ProviderUnavailable",
    "WeatherProvider",
    "WeatherReport",
    "city_key",
    "provider_for",
]
