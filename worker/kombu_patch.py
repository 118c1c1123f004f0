"""Keep a worker alive through a restart of Redis.

kombu 5.7 asks a closed connection for its address while it reconnects (`Channel._connparams` reads
`self.connection.client`, which is None by then). The AttributeError is none of the errors that it reconnects upon, so
the worker ends. As a ConnectionError it is one.
"""

from typing import Any, Final

from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as RedisConnectionError

_Channel: Final[Any] = transport.Channel
_original: Final = _Channel._connparams  # noqa: SLF001 - that is what the patch is about.


def _connparams(channel: Any, *args: Any, **kwargs: Any) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise RedisConnectionError("The connection to the broker is closed.")
    return _original(channel, *args, **kwargs)


def apply() -> None:
    """Put the patch in place."""
    _Channel._connparams = _connparams  # noqa: SLF001 - see above.
