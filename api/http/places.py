"""Limits how many requests of one user are served at the same time, so that one user cannot occupy a whole process."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from core.errors import TooManyRequests
from core.messages import msg

_RETRY_SECONDS: Final = 1


class Places:
    """A number of places for each user, in this process. A request takes one while it is served.

    If all places of a user are taken, both methods raise `TooManyRequests` with the code `too_many_at_once`.
    """

    def __init__(self, per_user: int) -> None:
        self._per_user = per_user
        self._taken = Counter[int]()

    @contextmanager
    def taken_by(self, user_id: int) -> Iterator[None]:
        """Take one of the user's places until the block ends."""
        self._take(user_id)
        try:
            yield
        finally:
            self._free(user_id)

    def take_for_request(self, user_id: int) -> None:
        """Take one of the user's places until the running request ends.

        The server handles each request in a task of its own. The place is kept until that task ends, because a response
        may be streamed after the responder has returned. The task also ends if the client leaves.
        """
        self._take(user_id)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        task.add_done_callback(lambda _task: self._free(user_id))

    def _take(self, user_id: int) -> None:
        if self._taken[user_id] >= self._per_user:
            raise TooManyRequests(
                msg("You have too many requests of this kind under way. Please wait."),
                _RETRY_SECONDS,
                code="too_many_at_once",
            )
        self._taken[user_id] += 1

    def _free(self, user_id: int) -> None:
        self._taken[user_id] -= 1
        if not self._taken[user_id]:
            # Otherwise the dictionary would keep an entry for every user who has ever sent such a request.
            del self._taken[user_id]
