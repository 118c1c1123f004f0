"""Limits how many requests of one user are served at the same time, so that one user cannot occupy a whole process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.errors import TooManyRequests
from core.messages import msg

_RETRY_SECONDS: Final = 1


class Places:
    """A number of places for each user, in this process. A request takes one while it is served."""

    def __init__(self, per_user: int) -> None:
        self._per_user = per_user
        self._taken = Counter[int]()

    @contextmanager
    def taken_by(self, user_id: int) -> Iterator[None]:
        """Take one of the user's places until the block ends.

        Raises:
            TooManyRequests: with code `too_many_at_once` if all are taken.
        """
        if self._taken[user_id] >= self._per_user:
            raise TooManyRequests(
                msg("You have too many requests of this kind under way. Please wait."),
                _RETRY_SECONDS,
                code="too_many_at_once",
            )
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                # Otherwise there would be an entry for every user who was ever here.
                del self._taken[user_id]
