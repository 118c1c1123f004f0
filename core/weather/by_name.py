"""The current weather of a city that is given by its name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from core.weather.places import FoundPlace, PlaceWeather, Point
from core.weather.report import CityNotFound, ProviderUnavailable, WeatherReport


class ByName(ABC):
    """A provider that searches places, and fetches the weather of points."""

    @abstractmethod
    def search(self, name: str, limit: int, *, seconds: float | None = None) -> list[FoundPlace]:
        """Find places by their name."""

    @abstractmethod
    def forecasts(self, points: Sequence[Point]) -> list[PlaceWeather | None]:
        """Fetch the weather of points."""

    def current(self, city: str) -> WeatherReport:
        """Fetch the current weather of the city that matches a name best.

        Raises:
            CityNotFound: if the provider does not find the city.
            ProviderUnavailable: if there is no valid response in time.
        """
        found = self.search(city, 1)
        if not found:
            raise CityNotFound(city)
        (weather,) = self.forecasts([found[0].point])
        if weather is None or weather.current is None:
            raise ProviderUnavailable("The provider sent no valid weather.")
        return weather.current
