"""The live events: a WebSocket that is opened again when it is lost, without missing an event."""

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from core.client.credentials import Credentials
from core.client.http import ApiError, Client, LoginNeeded, is_local

_OPEN_SECONDS: Final = 10
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_TOKEN_ENDED: Final = 4401
_SESSION_ENDED: Final = 4403
_TOO_MANY: Final = 4429
_FORBIDDEN: Final = 403

Frame = dict[str, Any]


class Listener:
    """Listens to the events after the number `since`, or from now on.

    `tell` is called when the connection is lost, and why. `pause` waits before the next attempt.
    """

    def __init__(
        self,
        client: Client,
        since: int | None,
        tell: Callable[[str], object],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._since = since
        self._tell = tell
        self._pause = pause
        self._wait = _FIRST_WAIT

    def frames(self) -> Iterator[Frame]:
        """Yield all frames, each event once, until the session ends.

        Raises:
            LoginNeeded: if the session has ended.
            ApiError: if the account has as many sockets as it may have, or the server refuses the token.
        """
        credentials = self._client.credentials()
        was_refused = False
        while True:
            try:
                yield from self._of_one_socket(credentials)
                reason = "closed by the server"
            except ConnectionClosed as error:
                reason = self._reason(error.rcvd.code if error.rcvd else None)
            except InvalidStatus as error:
                if error.response.status_code != _FORBIDDEN:
                    reason = f"status {error.response.status_code}"
                elif was_refused:
                    raise ApiError("The server refuses the live connection.") from None
                else:
                    # The server may not say why it refuses a handshake; an old token is the usual reason.
                    was_refused, credentials = True, self._client.refreshed(credentials)
                    continue
            except (OSError, InvalidHandshake, TimeoutError) as error:
                reason = type(error).__name__
            was_refused = False
            self._tell(f"connection lost ({reason}), connecting again")
            # Without the random part all listeners of a server that restarts would come back at the same moment.
            self._pause(self._wait * random.uniform(0.5, 1.0))  # noqa: S311 - this spreads attempts and is no secret.
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
            credentials = self._valid(credentials)

    def _valid(self, credentials: Credentials) -> Credentials:
        """Return a login with a token that is valid, or the former one if the server cannot be asked now."""
        try:
            return self._client.credentials()
        except LoginNeeded:
            raise
        except ApiError:
            return credentials

    def _of_one_socket(self, credentials: Credentials) -> Iterator[Frame]:
        position = "" if self._since is None else f"?since={self._since}"
        address = f"ws{credentials.url.removeprefix('http')}/ws{position}"
        bearer = {"Authorization": f"Bearer {credentials.access_token}"}
        # A proxy of the environment cannot reach a server on this machine.
        proxy: Literal[True] | None = None if is_local(credentials.url) else True
        with connect(
            address, additional_headers=bearer, open_timeout=_OPEN_SECONDS, max_size=None, proxy=proxy
        ) as socket:
            for message in socket:
                frame: Frame = json.loads(message)
                self._wait = _FIRST_WAIT
                # After `since` the frame `ready` comes before the missed events, and its number is higher than theirs.
                if "seq" in frame and (frame["type"] != "ready" or self._since is None):
                    self._since = frame["seq"]
                yield frame

    def _reason(self, code: int | None) -> str:
        if code == _SESSION_ENDED:
            raise LoginNeeded
        if code == _TOO_MANY:
            raise ApiError("Your account has as many live connections as it may have. Close one first.")
        return "the token has expired" if code == _TOKEN_ENDED else f"code {code}"
