"""The weather of a city, from Open-Meteo or OpenWeather. No database, no cache, no retries: those are others' work."""

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
