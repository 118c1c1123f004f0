"""Connections to Redis, to one server or to the one that Sentinel names as the primary at this moment.

`REDIS_URL` is the URL of one server, or `redis+sentinel://:password@host:26379,host:26379/name/0`: the sentinels, the
name under which they know the primary, and the number of the database. After a failover a client that has lost its
connection asks the sentinels for the new primary.
"""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from redis import Redis, asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

SENTINEL_SCHEME: Final = "redis+sentinel"
_SENTINEL_PORT: Final = 26379
# A sentinel answers from its memory. One that does not answer within this time is skipped, and the next one is asked.
_SENTINEL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class SentinelUrl:
    """The parts of a URL of the scheme `redis+sentinel`."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    @property
    def login(self) -> dict[str, Any]:
        """The arguments of a client that log in to Redis and select the database."""
        return {"db": self.database, "username": self.username, "password": self.password}

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """The arguments of a client of a sentinel, which has a login of its own. No attempt is repeated."""
        return {
            "username": self.sentinel_username,
            "password": self.sentinel_password,
            "socket_timeout": _SENTINEL_SECONDS,
            "socket_connect_timeout": _SENTINEL_SECONDS,
            "retry": None,
        }


def parse(url: str) -> SentinelUrl | None:
    """Return the parts of a URL that names sentinels, or None if it names a server.

    Raises:
        ValueError: if it names sentinels but is not complete; the message says what is wrong, without any value.
    """
    parts = urlsplit(url)
    if "sentinel" not in parts.scheme:
        return None
    if parts.scheme != SENTINEL_SCHEME:
        raise ValueError(f"sentinels must be given as {SENTINEL_SCHEME}://…; TLS to sentinels is not supported")
    login, _, places = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if not service:
        raise ValueError("the name of the primary is missing, as in redis+sentinel://host:26379/name")
    if database and not database.isdecimal():
        raise ValueError("the database after the name of the primary must be a number")
    if unknown := set(options) - {"sentinel_username", "sentinel_password"}:
        raise ValueError(f"unknown option {min(unknown)}")
    return SentinelUrl(
        sentinels=tuple(_address(place) for place in places.split(",")),
        service=unquote(service),
        database=int(database or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _address(place: str) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    try:
        port = parts.port or _SENTINEL_PORT
    except ValueError:
        raise ValueError("the port of a sentinel must be a number") from None
    if not parts.hostname:
        raise ValueError("the host of a sentinel is missing")
    return parts.hostname, port


def connect(url: str, **options: Any) -> Redis:
    """Return a client. `options` are those of `Redis`; no connection is made before the first command."""
    sentinel_url = parse(url)
    if sentinel_url is None:
        return Redis.from_url(url, **options)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped.
        sentinel_url.sentinels, sentinel_kwargs=sentinel_url.sentinel_options
    )
    client: Redis = sentinel.master_for(sentinel_url.service, **sentinel_url.login, **options)
    return client


def connect_async(url: str, **options: Any) -> "asyncio.Redis":
    """Return a client for the event loop. `options` are those of `redis.asyncio.Redis`."""
    sentinel_url = parse(url)
    if sentinel_url is None:
        return asyncio.Redis.from_url(url, **options)
    sentinel: Any = _ImpatientSentinel(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped.
        sentinel_url.sentinels, sentinel_kwargs=sentinel_url.sentinel_options
    )
    # Here a client must have a pool, because each connection of the pool asks the sentinels when it is made.
    options.pop("single_connection_client", None)
    primary: asyncio.Redis = sentinel.master_for(sentinel_url.service, **sentinel_url.login, **options)
    return primary


class _ImpatientSentinel(AsyncSentinel):
    """Asks another sentinel first after an attempt that failed or was cancelled.

    A caller may have less time than it takes to find out that several sentinels do not answer. If every attempt began
    with the same ones, it would never reach the one that does. Connections to sentinels are needed rarely, so none is
    kept; closing the client would not close them.
    """

    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        except BaseException:
            self.sentinels = [*self.sentinels[1:], self.sentinels[0]]
            raise
        finally:
            for sentinel in self.sentinels:
                await sentinel.connection_pool.disconnect(inuse_connections=False)


def broker_settings(url: str) -> tuple[str, dict[str, Any]]:
    """Return Celery's URL of the broker, and the options of its transport that belong to this URL."""
    sentinel_url = parse(url)
    if sentinel_url is None:
        return url, {}
    login = f"{quote(sentinel_url.username or '', safe='')}:{quote(sentinel_url.password or '', safe='')}@"
    database = sentinel_url.database
    urls = [f"sentinel://{login}{_host(host)}:{port}/{database}" for host, port in sentinel_url.sentinels]
    return ";".join(urls), {
        "master_name": sentinel_url.service,
        "sentinel_kwargs": sentinel_url.sentinel_options,
    }


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
