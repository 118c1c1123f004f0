"""What the resources of all areas are made with."""

from dataclasses import dataclass

from redis.asyncio import Redis

from api.http.auth import Authenticator
from api.http.threads import Bridge
from core.config import Settings
from core.security import TokenIssuer
from core.storage import Storage


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the process does and is shared by the resources."""

    settings: Settings
    bridge: Bridge
    authenticator: Authenticator
    issuer: TokenIssuer
    storage: Storage
    redis: Redis


class Resource:
    """Something with an address. Its responders are declared with `api.http.operation`."""

    def __init__(self, services: Services) -> None:
        self.settings = services.settings
        self.bridge = services.bridge
        self.authenticator = services.authenticator
        self.issuer = services.issuer
        self.storage = services.storage
        self.redis = services.redis
