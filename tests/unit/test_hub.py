"""The listeners of a process: who is admitted, which events each one gets, and when it is closed."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps

import orjson
import pytest

from api.realtime import hub as hub_module
from api.realtime.hub import CloseCode, Hub, Listener, NotAdmitted
from core.events import NOTIFICATION_CREATED, SESSIONS_REVOKED, TASK_CREATED, Event
from core.policy import Actor, Role

ALICE, BOB, ADA = Actor(10, Role.USER, 1), Actor(20, Role.USER, 2), Actor(30, Role.ADMIN, 3)


def in_event_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine as a test; listeners can be made only in an event loop."""

    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def await_test() -> None:
            await test(*args, **kwargs)

        asyncio.run(await_test())

    return run


@pytest.fixture
def hub() -> Hub:
    return Hub(sockets_per_user=2)


def joined(hub: Hub, actor: Actor, after: float = 0, queue_frames: int = 10) -> Listener:
    """A listener that the hub has admitted and that gets the events after this number."""
    listener = Listener(actor, queue_frames)
    hub.admit(listener)
    listener.after = after
    return listener


def event(seq: int, *audience: Actor, kind: str = TASK_CREATED) -> Event:
    user_ids = tuple(actor.user_id for actor in audience)
    return Event(seq, kind, None, None, user_ids, "2026-01-01T00:00:00Z", None, "{}")


def numbers(listener: Listener) -> list[int]:
    """Take all frames of a listener, and return their numbers."""
    return [orjson.loads(listener.frames.get_nowait().text)["seq"] for _ in range(listener.frames.qsize())]


def close_code(listener: Listener) -> CloseCode | None:
    return listener.ended.result() if listener.ended.done() else None


class TestDelivery:
    @in_event_loop
    async def test_an_event_goes_to_its_audience_and_to_admins(self, hub: Hub) -> None:
        alice, bob, ada = (joined(hub, actor) for actor in (ALICE, BOB, ADA))

        assert hub.deliver(event(1, ALICE))

        assert [numbers(listener) for listener in (alice, bob, ada)] == [[1], [], [1]]

    @in_event_loop
    async def test_a_notification_goes_to_its_audience_only(self, hub: Hub) -> None:
        alice, ada = joined(hub, ALICE), joined(hub, ADA)

        assert hub.deliver(event(1, ALICE, kind=NOTIFICATION_CREATED))
        assert hub.deliver(event(2, ADA, kind=NOTIFICATION_CREATED))

        assert [numbers(listener) for listener in (alice, ada)] == [[1], [2]]

    @in_event_loop
    async def test_an_internal_event_goes_to_nobody(self, hub: Hub) -> None:
        listeners = [joined(hub, ALICE), joined(hub, ADA)]

        assert not hub.deliver(event(1, ALICE, ADA, kind=SESSIONS_REVOKED))

        assert [numbers(listener) for listener in listeners] == [[], []]

    @in_event_loop
    async def test_of_missed_events_too_a_listener_may_receive_only_its_own(self) -> None:
        alice, ada = Listener(ALICE, 10), Listener(ADA, 10)
        missed = [event(1, ALICE), event(2, BOB), event(3, BOB, kind=NOTIFICATION_CREATED)]

        assert [alice.may_receive(each) for each in missed] == [True, False, False]
        assert [ada.may_receive(each) for each in missed] == [True, True, False]

    @in_event_loop
    async def test_a_listener_gets_only_events_after_the_number_with_which_it_has_joined(self, hub: Hub) -> None:
        listener = joined(hub, ALICE, after=2)

        assert [hub.deliver(event(seq, ALICE)) for seq in (1, 2, 3)] == [False, False, True]

        assert numbers(listener) == [3]

    @in_event_loop
    async def test_a_listener_that_has_not_joined_gets_nothing(self, hub: Hub) -> None:
        listener = Listener(ALICE, 10)
        hub.admit(listener)

        assert not hub.deliver(event(1, ALICE))
        hub.start_over(1)

        assert numbers(listener) == []

    @in_event_loop
    async def test_a_listener_that_was_dismissed_gets_nothing(self, hub: Hub) -> None:
        listener = joined(hub, ADA)
        other = joined(hub, ADA)
        hub.dismiss(listener)

        assert hub.deliver(event(1, ALICE))

        assert (numbers(listener), numbers(other)) == ([], [1])
        hub.dismiss(other)
        assert not hub.deliver(event(2, ADA))


class TestQueue:
    @in_event_loop
    async def test_a_listener_whose_queue_is_full_is_closed_as_too_slow(self, hub: Hub) -> None:
        slow, fast = joined(hub, ALICE, queue_frames=1), joined(hub, ALICE)

        hub.deliver(event(1, ALICE))
        assert close_code(slow) is None
        hub.deliver(event(2, ALICE))

        assert (close_code(slow), close_code(fast)) == (CloseCode.TOO_SLOW, None)
        assert (numbers(slow), numbers(fast)) == ([1], [1, 2])

    @in_event_loop
    async def test_only_the_first_reason_to_close_counts(self, hub: Hub) -> None:
        listener = joined(hub, ALICE)

        listener.end(CloseCode.TOO_SLOW)
        listener.end(CloseCode.SESSION_ENDED)

        assert close_code(listener) is CloseCode.TOO_SLOW


class TestAdmission:
    @in_event_loop
    async def test_each_account_has_a_maximum_of_sockets(self, hub: Hub) -> None:
        first, _ = joined(hub, ALICE), joined(hub, ALICE)

        with pytest.raises(NotAdmitted) as refusal:
            joined(hub, ALICE)
        assert refusal.value.code is CloseCode.TOO_MANY_SOCKETS
        joined(hub, BOB)
        assert len(hub) == 3

        hub.dismiss(first)
        joined(hub, ALICE)
        assert len(hub) == 3

    @in_event_loop
    async def test_nothing_is_kept_of_an_account_whose_sockets_are_closed(self, hub: Hub) -> None:
        listeners = [joined(hub, ALICE), joined(hub, ALICE)]

        hub.dismiss(listeners[0])
        assert hub.session_ids() == {ALICE.session_id}
        hub.dismiss(listeners[1])

        assert hub._of_user == {}  # noqa: SLF001 - an empty set of sockets has no effect but memory.

    @in_event_loop
    async def test_a_session_that_has_ended_meanwhile_is_refused(self, hub: Hub) -> None:
        hub.revoke([ALICE.session_id])

        with pytest.raises(NotAdmitted) as refusal:
            joined(hub, ALICE)

        assert refusal.value.code is CloseCode.SESSION_ENDED
        assert len(hub) == 0

    @in_event_loop
    async def test_the_newest_revocations_are_kept_up_to_a_maximum(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub_module, "_MAX_REVOCATIONS", 2)
        for session_id in (1, 2, 3):
            hub.revoke([session_id])

        def is_refused(session_id: int) -> bool:
            try:
                joined(hub, Actor(session_id, Role.USER, session_id))
            except NotAdmitted:
                return True
            return False

        assert [is_refused(session_id) for session_id in (1, 2, 3)] == [False, True, True]


class TestSessions:
    @in_event_loop
    async def test_only_the_sockets_of_an_ended_session_are_closed(self, hub: Hub) -> None:
        ended, other_session, bob = joined(hub, ALICE), joined(hub, replace(ALICE, session_id=9)), joined(hub, BOB)

        hub.revoke([ALICE.session_id])

        assert close_code(ended) is CloseCode.SESSION_ENDED
        assert (close_code(other_session), close_code(bob)) == (None, None)

    @in_event_loop
    async def test_the_sessions_of_all_sockets_are_known(self, hub: Hub) -> None:
        for actor in (ALICE, ALICE, BOB):
            joined(hub, actor)

        assert hub.session_ids() == {ALICE.session_id, BOB.session_id}

    @in_event_loop
    async def test_sockets_are_closed_if_their_session_was_looked_up_and_is_not_valid(self, hub: Hub) -> None:
        alice, bob, opened_meanwhile = joined(hub, ALICE), joined(hub, BOB), joined(hub, ADA)

        hub.update_actors({ALICE.session_id, BOB.session_id}, {BOB.session_id: BOB})

        assert close_code(alice) is CloseCode.SESSION_ENDED
        assert (close_code(bob), close_code(opened_meanwhile)) == (None, None)
        assert hub.deliver(event(1))
        assert numbers(opened_meanwhile) == [1]

    @in_event_loop
    async def test_a_new_role_decides_which_events_a_socket_gets(self, hub: Hub) -> None:
        bob, ada = joined(hub, BOB), joined(hub, ADA)
        changed = {BOB.session_id: replace(BOB, role=Role.ADMIN), ADA.session_id: replace(ADA, role=Role.USER)}

        hub.update_actors(changed.keys(), changed)
        assert hub.deliver(event(1, ALICE))

        assert (numbers(bob), numbers(ada)) == ([1], [])


class TestStartOver:
    @in_event_loop
    async def test_all_listeners_continue_after_the_number(self, hub: Hub) -> None:
        behind, ahead = joined(hub, ALICE, after=3), joined(hub, BOB, after=9)

        hub.start_over(5)
        for seq in (5, 6):
            hub.deliver(event(seq, ALICE, BOB))

        assert [numbers(listener) for listener in (behind, ahead)] == [[5, 6], [5, 6]]

    @in_event_loop
    async def test_listeners_that_have_missed_nothing_are_left_alone(self, hub: Hub) -> None:
        behind, level, ahead = (joined(hub, actor, after) for actor, after in ((ALICE, 4), (BOB, 5), (ADA, 6)))

        hub.start_over(5, below=5)

        assert [numbers(listener) for listener in (behind, level, ahead)] == [[5], [], []]
        assert [listener.after for listener in (behind, level, ahead)] == [5, 5, 6]
        assert Listener(ALICE, 1).after == math.inf
