"""The query and the response of the search of places."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.fields import AsciiDigits, Input
from api.tasks.schemas import City, PlaceOut
from core.services.places import MOST_FOUND

_USUALLY_FOUND = 5


class PlaceQuery(Input):
    """Which places to find."""

    q: Annotated[City, Field(description="The name of the place, or its beginning.")]
    limit: Annotated[
        int, Field(ge=1, le=MOST_FOUND, description="The largest number of places in the response."), AsciiDigits
    ] = _USUALLY_FOUND


class FoundPlaces(BaseModel):
    """Places, the best match first.

    `complete` is false if the provider could not be asked: then these are only places that are known already.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": 12,
                            "name": "Paris",
                            "region": "Texas",
                            "country": "United States",
                            "country_code": "US",
                            "latitude": 33.66094,
                            "longitude": -95.55551,
                            "timezone": "America/Chicago",
                            "population": 24782,
                        }
                    ],
                    "complete": True,
                    "attribution": "Weather data by Open-Meteo.com (CC BY 4.0)",
                }
            ]
        }
    )

    items: list[PlaceOut]
    complete: bool
    attribution: Annotated[str, Field(description="What is to be shown beside the places and their weather.")]
