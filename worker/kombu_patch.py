"""A patch of kombu, so that a worker keeps running when Redis restarts.

kombu 5.7 reads the address of a closed connection while it reconnects (`Channel._connparams` reads
`self.connection.client`, which is None then). kombu does not retry after this AttributeError, so the worker ends. The
patch raises a ConnectionError instead, after which kombu reconnects.
"""

from typing import Any, Final

from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as RedisConnectionError

_Channel: Final[Any] = transport.Channel
_original: Final = _Channel._connparams  # noqa: SLF001 - the patch replaces this method.


def _connparams(channel: Any, *args: Any, **kwargs: Any) -> Any:
    if channel.connection is None or channel.connection.client is None:
        raise RedisConnectionError("The connection to the broker is closed.")
    return _original(channel, *args, **kwargs)


def apply() -> None:
    """Apply the patch."""
    _Channel._connparams = _connparams  # noqa: SLF001 - see above.
