"""Ask another server for JSON, on our terms: so long and no longer, so much and no more, and nobody else."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from typing import Any, Final

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from core import __version__
from core.weather.report import ProviderUnavailable

_MAX_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 8 * 1024
_CONNECT_SECONDS: Final = 3.0
_USER_AGENT: Final = f"Allweather/{__version__}"


class Deadline:
    """A point in time at which every guarded connection is cut.

    A time-out of a socket counts from the last byte, so a server that drips one byte a second is never too late for
    it. Cutting the connection from outside ends every kind of waiting, for headers as for a body.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._sockets: list[socket] = []
        self._lock = threading.Lock()
        self.passed = False

    @property
    def remaining(self) -> float:
        """Seconds that are left, never quite zero: a socket takes zero for 'do not block'."""
        return max(self._end - time.monotonic(), 0.001)

    def guard(self, connection: socket) -> None:
        """Cut this connection, too, when the time comes; at once where it has come."""
        with self._lock:
            self._sockets.append(connection)
            if self.passed:
                _cut(connection)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the time run."""
        timer = threading.Timer(self.remaining, self._pass)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            for connection in self._sockets:
                _cut(connection)


def _cut(connection: socket) -> None:
    # One that is closed already is as good. The plain socket under a TLS one is meant: a polite end of TLS would wait.
    with suppress(OSError):
        socket.shutdown(connection, SHUT_RDWR)


def _guarding_adapter(deadline: Deadline) -> HTTPAdapter:
    class GuardedConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            deadline.guard(self.sock)

    class GuardedTLSConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            deadline.guard(self.sock)

    class Pool(HTTPConnectionPool):
        ConnectionCls = GuardedConnection

    class TLSPool(HTTPSConnectionPool):
        ConnectionCls = GuardedTLSConnection

    adapter = HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TLSPool}
    return adapter


class JsonClient:
    """Asks one provider for JSON documents within one deadline.

    Each call has connections of its own: a city is asked for once an hour, and so nothing is shared between threads
    or over a fork.
    """

    def __init__(self, provider: str, deadline: Deadline) -> None:
        self._provider = provider
        self._deadline = deadline
        self._session = requests.Session()
        self._session.headers["User-Agent"] = _USER_AGENT
        adapter = _guarding_adapter(deadline)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def get(self, url: str, parameters: Mapping[str, Any], *, absent: frozenset[int] = frozenset()) -> Any:
        """Answer the document, or None where the status is one of `absent`.

        Raises:
            ProviderUnavailable: for anything else than a small JSON document with status 200 in time. Its message
                never repeats what `requests` says, since that holds the address with the key.
        """
        timeouts = (min(_CONNECT_SECONDS, self._deadline.remaining), self._deadline.remaining)
        try:
            with self._session.get(
                url, params=dict(parameters), timeout=timeouts, allow_redirects=False, stream=True
            ) as response:
                if response.status_code in absent:
                    return None
                self._check_status(response.status_code)
                content = self._read(response)
            return orjson.loads(content)
        except requests.RequestException as error:
            reason = "took too long" if self._is_late(error) else f"could not be reached ({type(error).__name__})"
            raise self._unavailable(reason) from None
        except orjson.JSONDecodeError:
            raise self._unavailable("took too long" if self._deadline.passed else "sent no JSON") from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _is_late(self, error: Exception) -> bool:
        return self._deadline.passed or isinstance(error, requests.Timeout)

    def _check_status(self, status: int) -> None:
        if status in {401, 403}:
            raise self._unavailable(f"refuses the API key (status {status}); check it")
        if status != requests.codes.ok:
            raise self._unavailable(f"answered with status {status}")

    def _read(self, response: requests.Response) -> bytes:
        content = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > _MAX_BYTES:
                raise self._unavailable(f"sent more than {_MAX_BYTES} bytes")
        return bytes(content)

    def _unavailable(self, reason: str) -> ProviderUnavailable:
        return ProviderUnavailable(f"{self._provider} {reason}.")
