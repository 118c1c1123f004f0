"""Request JSON from another server, with a time limit, a size limit and no redirects."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import SHUT_RDWR, socket
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from core import __version__, metrics, tracing
from core.weather.report import ProviderUnavailable, RequestRejected

_MAX_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 8 * 1024
_CONNECT_SECONDS: Final = 3.0
_USER_AGENT: Final = f"Allweather/{__version__}"
# Open-Meteo refuses too many requests without a Retry-After, and says in its text that one should wait a minute.
_SECONDS_AFTER_TOO_MANY: Final = 60.0
_LONGEST_RETRY_AFTER: Final = 86_400.0


class Deadline:
    """A point in time at which every guarded connection is shut down.

    The timeout of a socket starts again with each byte, so it never ends a response that arrives one byte at a time.
    Shutting the connection down from another thread ends every kind of waiting, for headers and for the body.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._sockets: list[socket] = []
        self._lock = threading.Lock()
        self.passed = False

    @property
    def remaining(self) -> float:
        """The remaining seconds, never zero: for a socket a timeout of zero means not to block."""
        return max(self._end - time.monotonic(), 0.001)

    def guard(self, connection: socket) -> None:
        """Shut this connection down at the deadline; at once if the deadline has passed."""
        with self._lock:
            self._sockets.append(connection)
            if self.passed:
                _shut_down(connection)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Shut the guarded connections down if the block runs past the deadline."""
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
                _shut_down(connection)


def _shut_down(connection: socket) -> None:
    # This is the method of the plain socket, since the shutdown of TLS could block. A closed socket raises OSError.
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


def _counted(provider: str, request: Callable[[], Any]) -> Any:
    """Return what a request to a provider returns, and count it with its duration and outcome."""
    started, outcome = time.monotonic(), "unavailable"
    try:
        with tracing.call_to(provider):
            document = request()
        outcome = "ok"
        return document
    finally:
        metrics.PROVIDER_SECONDS.observe(time.monotonic() - started, provider, outcome)


class JsonClient:
    """Requests JSON documents from one provider within one deadline.

    Each client has its own connections, so none are shared between threads or with a forked process. Requests are rare,
    since the weather is cached.
    """

    def __init__(self, provider: str, deadline: Deadline) -> None:
        self._provider = provider
        self._deadline = deadline
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip"})
        adapter = _guarding_adapter(deadline)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def get(self, url: str, parameters: Mapping[str, Any], *, max_bytes: int = _MAX_BYTES) -> Any:
        """Return the document, of at most `max_bytes` after it is decompressed.

        NaN, which is no JSON, is returned as None, so that one value which a model has not computed does not cost all
        others.

        Raises:
            ProviderUnavailable: if there is no such JSON document with status 200 in time. Its message never contains
                the messages of `requests`, since they contain the URL with the key.
        """
        return _counted(self._provider, lambda: self._document(url, parameters, max_bytes))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _document(self, url: str, parameters: Mapping[str, Any], max_bytes: int) -> Any:
        timeouts = (min(_CONNECT_SECONDS, self._deadline.remaining), self._deadline.remaining)
        try:
            with self._session.get(
                url, params=dict(parameters), timeout=timeouts, allow_redirects=False, stream=True
            ) as response:
                self._check_status(response)
                content = self._read(response, max_bytes)
            return json.loads(content, parse_constant=lambda _: None)
        except requests.RequestException as error:
            if self._is_late(error):
                raise self._late() from None
            raise self._unavailable(f"could not be reached ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise (self._late() if self._deadline.passed else self._unavailable("sent no JSON")) from None

    def _is_late(self, error: Exception) -> bool:
        return self._deadline.passed or isinstance(error, requests.Timeout)

    def _check_status(self, response: requests.Response) -> None:
        status = response.status_code
        if status in {401, 403}:
            raise self._unavailable(f"refuses the API key (status {status}); check it")
        if status == requests.codes.bad_request:
            raise RequestRejected(f"{self._provider} does not accept the request (status {status}).")
        if status != requests.codes.ok:
            raise self._unavailable(f"answered with status {status}", retry_after=_retry_after(response))

    def _read(self, response: requests.Response, max_bytes: int) -> bytes:
        content = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > max_bytes:
                raise self._unavailable(f"sent more than {max_bytes} bytes")
        return bytes(content)

    def _late(self) -> ProviderUnavailable:
        return ProviderUnavailable(f"{self._provider} took too long.", is_late=True)

    def _unavailable(self, reason: str, *, retry_after: float | None = None) -> ProviderUnavailable:
        return ProviderUnavailable(f"{self._provider} {reason}.", retry_after=retry_after)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that a `Retry-After` names, as a number or as a date, or None."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_RETRY_AFTER)
    with suppress(ValueError):
        seconds = (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
    return _SECONDS_AFTER_TOO_MANY if response.status_code == requests.codes.too_many_requests else None


@contextmanager
def client_for(provider: str, seconds: float) -> Iterator[JsonClient]:
    """Yield a client with a deadline; a document of an unexpected shape raises ProviderUnavailable."""
    deadline = Deadline(seconds)
    client = JsonClient(provider, deadline)
    try:
        with deadline.running():
            yield client
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise ProviderUnavailable(f"{provider} sent a document of an unknown shape.") from None
    finally:
        client.close()
