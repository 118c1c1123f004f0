"""The search of places that have weather."""

from typing import Final

from api.http.operation import operation
from api.http.resource import Resource, Services
from api.http.routing import versioned
from api.places.schemas import FoundPlaces, PlaceQuery
from core.errors import Unavailable
from core.policy import Scope
from core.representations import Representation
from core.services.places import PlaceSearch, Search

# Nobody waits for the provider longer than two seconds, with the wait for a thread.
_PROVIDER_SECONDS: Final = 1.6
_OUTBOUND_SECONDS: Final = 1.9


class PlaceCollection(Resource):
    """Places."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._search = PlaceSearch(services.settings, services.weather)

    @operation(200, FoundPlaces, tag="places", scope=Scope.TASKS_READ, weight=2, places=2)
    async def on_get(self, query: PlaceQuery) -> Representation:
        """Find places by their name.

        A name is searched once, by the provider of the weather, and then known for ever. If the provider does not
        answer within two seconds, or may not be asked at the moment, `complete` is false, and the response has the
        known places whose name begins like this.
        """
        search = Search(query.q, query.limit)
        known, may_ask = await self.bridge.run(self._search.find_known, search)
        if known is not None:
            return known
        if not may_ask:
            return await self.bridge.run(self._search.find_beginning, search)
        try:
            found = await self.bridge.run_outbound(_OUTBOUND_SECONDS, self._search.ask, search, _PROVIDER_SECONDS)
        except Unavailable:
            # No thread was free in time, which says nothing about the provider.
            return await self.bridge.run(self._search.find_beginning, search)
        return await self.bridge.run(self._search.keep, search, found)


ROUTES: Final = versioned("/places", PlaceCollection)
