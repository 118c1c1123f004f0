"""Limits how much is served at the same time, so that one user or address cannot occupy a whole process."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar, cast

from core.errors import TooManyRequests
from core.messages import msg

_Holder = TypeVar("_Holder", int, str)

_RETRY_SECONDS: Final = 1


class Places(ABC, Generic[_Holder]):
    """The places in this process: a number for each holder, and perhaps a number for all holders together."""

    def __init__(self, per_holder: int, in_all: int | None = None) -> None:
        self._per_holder = per_holder
        self._in_all = in_all
        self._taken: Counter[_Holder] = Counter()

    @abstractmethod
    def refusal(self, *, all_taken: bool) -> Exception:
        """Return what is raised if the holder has no place left, or if the places of all holders are taken."""

    @contextmanager
    def taken_by(self, holder: _Holder) -> Iterator[None]:
        """Take one place until the block ends; raises `refusal()` if there is none."""
        self._take(holder)
        try:
            yield
        finally:
            self._free(holder)

    def _take(self, holder: _Holder) -> None:
        if self._taken[holder] >= self._per_holder:
            raise self.refusal(all_taken=False)
        if self._in_all is not None and self._taken.total() >= self._in_all:
            raise self.refusal(all_taken=True)
        self._taken[holder] += 1

    def _free(self, holder: _Holder) -> None:
        self._taken[holder] -= 1
        if not self._taken[holder]:
            # Otherwise the counter would keep an entry for everybody who has ever had a place.
            del self._taken[holder]


class RequestPlaces(Places[int]):
    """Places for requests of one kind, for each user. Without one, a request gets the code `too_many_at_once`."""

    def refusal(self, *, all_taken: bool) -> Exception:  # noqa: ARG002 - there is no limit for all users together.
        """Return the error of a request that is one too many."""
        return TooManyRequests(
            msg("You have too many requests of this kind under way. Please wait."),
            _RETRY_SECONDS,
            code="too_many_at_once",
        )

    def take_for_request(self, user_id: int) -> None:
        """Take one of the user's places until the running request ends.

        The server handles each request in a task of its own. The place is kept until that task ends, because a response
        may be streamed after the responder has returned. The task also ends if the client leaves.
        """
        self._take(user_id)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        task.add_done_callback(lambda _task: self._free(user_id))
