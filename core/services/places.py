"""Places: found once by the provider of weather, and kept in PostgreSQL for ever.

A name that the provider does not know is remembered for a day, so that it is not asked for it again and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from core.config import Settings
from core.db import read, unit_of_work, write
from core.models.place import Place
from core.prepared import Prepared
from core.representations import Representation
from core.services.weather_calls import WeatherCalls
from core.weather import FoundPlace, ProviderUnavailable, WeatherProvider, city_key

MOST_FOUND: Final = 10
"""How many places are searched by a name. Whoever wants fewer takes the first ones, since a name is searched once."""

# About a kilometer. Tasks so near to each other share the forecast, and the provider learns no address.
_DECIMALS_OF_POINT: Final = 2

IS_FRESH: Final = "(cardinality(place_ids) > 0 OR looked_up_at > now() - interval '1 day')"
"""The SQL condition, over `place_names`, of what is known about a name: its places, or lately that there are none."""

_RESOLVE: Final = f"SELECT key, place_ids[1] FROM place_names WHERE key = ANY(%(keys)s) AND {IS_FRESH}"

# The reference is not set again, since an UPDATE of a unique column waits for all transactions that refer to the row.
# Whoever has just made tasks there would then wait for this one, and this one for them.
_CHANGING: Final = "name, region, country, country_code, latitude, longitude, timezone, population"
_COLUMNS: Final = f"reference, {_CHANGING}"
_TYPES: Final = (
    "reference text, name text, region text, country text, country_code text, latitude double precision,"
    " longitude double precision, timezone text, population bigint"
)

# The order of the references prevents a deadlock of two processes that store the same places.
_STORE: Final = f"""
WITH sent AS (
    SELECT DISTINCT ON (reference) * FROM json_to_recordset(%(places)s) AS sent ({_TYPES}) ORDER BY reference),
stored AS (
    INSERT INTO places AS p ({_COLUMNS}) SELECT {_COLUMNS} FROM sent ORDER BY reference
    ON CONFLICT (reference) DO UPDATE SET ({_CHANGING}) = ROW (
        {", ".join(f"excluded.{column}" for column in _CHANGING.split(", "))})
    RETURNING id, reference),
names AS (
    SELECT key, coalesce(array_agg(stored.id ORDER BY place.number) FILTER (WHERE stored.id IS NOT NULL), '{{}}') AS ids
    FROM json_to_recordset(%(names)s) AS found (key text, "references" json)
    LEFT JOIN LATERAL json_array_elements_text("references") WITH ORDINALITY AS place (reference, number) ON true
    LEFT JOIN stored ON stored.reference = place.reference
    GROUP BY key)
INSERT INTO place_names (key, place_ids) SELECT key, ids FROM names ORDER BY key
ON CONFLICT (key) DO UPDATE SET place_ids = excluded.place_ids, looked_up_at = now()
RETURNING key, place_ids
"""

# A point that is known is only read: an INSERT that finds the row would use up an id each time, and would need a lock.
_FIND_POINT: Final = "SELECT id FROM places WHERE reference = %(reference)s"
_ADD_POINT: Final = """
INSERT INTO places (reference, latitude, longitude) VALUES (%(reference)s, %(latitude)s, %(longitude)s)
ON CONFLICT (reference) DO UPDATE SET latitude = excluded.latitude RETURNING id
"""

_IS_NAMED: Final = "SELECT EXISTS (SELECT FROM places WHERE id = %(place_id)s AND name IS NOT NULL)"

_FIND_BY_NAME: Final = Prepared(f"""
SELECT coalesce((
    SELECT json_agg({Place.json("p")} ORDER BY found.number)
    FROM unnest(n.place_ids) WITH ORDINALITY AS found (id, number) JOIN places p USING (id)
    WHERE found.number <= %(limit)s::integer), '[]')::text
FROM place_names n WHERE n.key = %(key)s AND {IS_FRESH}
""")

# Two indexes serve this: of the names that were searched, and of the names of the places themselves.
_FIND_BY_BEGINNING: Final = f"""
SELECT coalesce(json_agg({Place.json("p")} ORDER BY is_exact DESC, population DESC NULLS LAST, id), '[]')::text
FROM (SELECT places.*, is_exact FROM (
          SELECT id, bool_or(is_exact) AS is_exact FROM (
              (SELECT unnest(place_ids) AS id, key = %(key)s AS is_exact FROM place_names
               WHERE key LIKE %(beginning)s LIMIT 1000)
              UNION ALL
              (SELECT id, lower(name) = lower(%(name)s) FROM places
               WHERE lower(name) LIKE lower(%(name_beginning)s) LIMIT 1000)) known
          GROUP BY id) matches JOIN places USING (id)
      ORDER BY is_exact DESC, population DESC NULLS LAST, id LIMIT %(limit)s) p
"""


@dataclass(frozen=True, slots=True)
class Search:
    """A search of places by their name, for somebody who wants at most `limit` of them."""

    name: str
    limit: int

    @property
    def key(self) -> str:
        """The key of the name."""
        return city_key(self.name)


def resolve_names(keys: Mapping[str, str]) -> dict[str, int | None]:
    """Return the place that matches each name best, by the keys of the names, or None if the provider knows none.

    `keys` has the spelling of each name by its key. A name that was not looked up yet is left out.
    """
    return dict(read(_RESOLVE, {"keys": list(keys)}).fetch_all())


def store_found(key: str, found: Sequence[FoundPlace]) -> list[int]:
    """Store what the provider has found under a name, in the running unit of work; returns the ids, best match first.

    No places mean that the provider does not know the name.
    """
    return store_all_found({key: found})[key]


def store_all_found(found: Mapping[str, Sequence[FoundPlace]]) -> dict[str, list[int]]:
    """Store what the provider has found under many names, as `store_found()` does, with one statement."""
    places = [asdict(place) for places in found.values() for place in places]
    names = [
        {"key": key, "references": list(dict.fromkeys(place.reference for place in places))}
        for key, places in found.items()
    ]
    return dict(
        write(_STORE, {"places": orjson.dumps(places).decode(), "names": orjson.dumps(names).decode()}).fetch_all()
    )


def place_of_point(latitude: float, longitude: float) -> int:
    """Return the id of the place at a point, in the running unit of work. Points within about a kilometer are one."""
    # Adding zero makes a zero out of a negative zero.
    latitude, longitude = (round(degrees, _DECIMALS_OF_POINT) + 0.0 for degrees in (latitude, longitude))
    reference = f"point:{latitude:.{_DECIMALS_OF_POINT}f},{longitude:.{_DECIMALS_OF_POINT}f}"
    parameters = {"reference": reference, "latitude": latitude, "longitude": longitude}
    row = read(_FIND_POINT, parameters).fetch_one() or write(_ADD_POINT, parameters).fetch_exactly_one()
    return int(row[0])


def is_named_place(place_id: int) -> bool:
    """Whether there is a place with this id that was found by its name."""
    return bool(read(_IS_NAMED, {"place_id": place_id}).fetch_value())


class PlaceSearch:
    """Searches places for somebody who waits.

    The steps are methods of their own, since the second one waits for the provider and the others use the database.
    """

    def __init__(self, settings: Settings, provider: WeatherProvider) -> None:
        self._provider = provider
        self._calls = WeatherCalls(settings, provider)

    def find_known(self, search: Search) -> tuple[Representation | None, bool]:
        """Return the places under a name that was searched before, or None and whether the provider may be asked."""
        row = read(_FIND_BY_NAME, {"key": search.key, "limit": search.limit}).fetch_one()
        if row is not None:
            return self._answer(row[0], complete=True), False
        return None, self._calls.granted_search()

    def ask(self, search: Search, seconds: float) -> list[FoundPlace] | ProviderUnavailable:
        """Ask the provider, which takes `seconds` at most; the database is not used."""
        try:
            return self._provider.search(search.name, MOST_FOUND, seconds=seconds)
        except ProviderUnavailable as error:
            return error

    def keep(self, search: Search, found: list[FoundPlace] | ProviderUnavailable) -> Representation:
        """Store what the provider has found and return it; if it was away, return the places that are known already."""
        if isinstance(found, ProviderUnavailable):
            if found.is_late:
                self._calls.search_was_late()
            else:
                self._calls.failed(found)
            return self.find_beginning(search)
        self._calls.succeeded()
        with unit_of_work():
            store_found(search.key, found)
            places = read(_FIND_BY_NAME, {"key": search.key, "limit": search.limit}).fetch_value()
        return self._answer(places, complete=True)

    def find_beginning(self, search: Search) -> Representation:
        """Return the known places whose name begins like this, without the provider; others may exist."""
        parameters = {
            "key": search.key,
            "beginning": _beginning(search.key),
            "name": search.name,
            "name_beginning": _beginning(search.name),
            "limit": search.limit,
        }
        return self._answer(read(_FIND_BY_BEGINNING, parameters).fetch_value(), complete=False)

    def _answer(self, places: str, *, complete: bool) -> Representation:
        rest = orjson.dumps({"complete": complete, "attribution": self._provider.attribution}).decode()
        return Representation(0, f'{{"items":{places},{rest[1:]}')


def _beginning(name: str) -> str:
    """Return the pattern of LIKE for texts that begin with a name."""
    return name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
