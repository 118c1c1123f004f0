"""The calls of weather providers and the new places of users, which all processes count together."""

from peewee import BigIntegerField, BooleanField, CharField, CompositeKey, DateField, IntegerField

from core.models.base import BaseModel, DateTimeTZField


class WeatherCallsRow(BaseModel):
    """The calls of one provider on one day, and its failures. `core.services.weather_calls` writes it."""

    provider = CharField(20, primary_key=True)
    day = DateField()
    calls = IntegerField(default=0)
    searches = IntegerField(default=0)
    calls_told = BooleanField(default=False)
    searches_told = BooleanField(default=False)
    failures = IntegerField(default=0)
    open_until = DateTimeTZField(null=True)
    probe_until = DateTimeTZField(null=True)

    class Meta:
        table_name = "weather_calls"


class NewPlacesRow(BaseModel):
    """For how many new places of a user's tasks the provider was asked on one day.

    `core.services.new_places` writes it.
    """

    user_id = BigIntegerField()
    day = DateField()
    places = IntegerField()

    class Meta:
        table_name = "weather_new_places"
        primary_key = CompositeKey("user_id", "day")
