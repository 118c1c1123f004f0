"""The base class of all resources, and the services that they share."""

from dataclasses import dataclass

from redis.asyncio import Redis

from api.http.auth import Authenticator
from api.http.threads import Bridge
from core.config import Settings
from core.security import TokenIssuer
from core.storage import Storage
from core.weather import WeatherProvider


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that all resources share, and that exist until the process ends."""

    settings: Settings
    bridge: Bridge
    authenticator: Authenticator
    issuer: TokenIssuer
    storage: Storage
    weather: WeatherProvider
    redis: Redis


class Resource:
    """The base of all resources, which handle the requests for a path. Responders are declared with `@operation`."""

    def __init__(self, services: Services) -> None:
        self.settings = services.settings
        self.bridge = services.bridge
        self.authenticator = services.authenticator
        self.issuer = services.issuer
        self.storage = services.storage
        self.redis = services.redis
