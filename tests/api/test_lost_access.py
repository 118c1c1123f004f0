"""What people get of tasks that they may no longer read, over the WebSocket: nothing, also of what waited for them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from websockets.sync.client import ClientConnection

from api.realtime import ws_protocol
from core import events
from core.config import Settings
from core.policy import Actor, Role
from core.services import administration, comments, delegation, groups, sessions, tasks
from core.services.sessions import Client
from tests.api.realtime import REMINDER, RealtimeServer, narrow_socket, next_frame, publish, remind
from tests.builders import QUOTA, create_actor, create_group, create_task
from tests.polling import wait_until
from tests.statements import statements_sent

_LARGE = "x" * 5000
_MANY = 600


@pytest.fixture(scope="module")
def module_server(settings: Settings) -> Iterator[RealtimeServer]:
    # With this long cache time, only an event from the stream can change what a socket gets in these tests.
    changes = {"session_cache_seconds": 3600, "socket_queue_frames": 2 * _MANY}
    with RealtimeServer(settings.model_copy(update=changes)) as running:
        yield running


@pytest.fixture
def server(module_server: RealtimeServer, database: None) -> RealtimeServer:
    """The server of this module, after it has read the events of earlier tests and of other servers."""
    caught_up(module_server)
    return module_server


@pytest.fixture
def group(ada: Actor, alice: Actor, bob: Actor) -> int:
    """A group that Ada manages, with the members Alice and Bob."""
    return create_group(ada, members=(alice, bob))


@pytest.fixture
def shared(alice: Actor, group: int) -> int:
    """A task of Alice that is given to the group, and a comment on it."""
    task_id = create_task(alice, title="Secret", group_id=group)
    comments.create_comment(alice, task_id, "Secret", QUOTA)
    return task_id


@pytest.fixture
def assigned(alice: Actor, bob: Actor) -> int:
    """A task of Alice that is assigned to Bob, and a comment on it."""
    task_id = create_task(alice, title="Secret", assignee_id=bob.user_id)
    comments.create_comment(alice, task_id, "Secret", QUOTA)
    return task_id


def caught_up(server: RealtimeServer) -> None:
    wait_until(lambda: server.relay.snapshot().position == events.bounds().last)


def frames_until_reminder(listener: ClientConnection) -> list[dict[str, Any]]:
    """Receive frames until one that is about no task, and return those before it."""
    received: list[dict[str, Any]] = []
    while (frame := next_frame(listener))["type"] != REMINDER:
        received.append(frame)
    return received


class Missed:
    """The events that a user gets who reconnects with the number of the last event before the test."""

    def __init__(self, server: RealtimeServer, redis: Redis) -> None:
        self._server = server
        self._redis = redis
        self.since = events.bounds().last

    def __call__(self, actor: Actor) -> list[dict[str, Any]]:
        remind(actor)
        publish(self._redis)
        with self._server.listening(actor, f"/ws?since={self.since}") as listener:
            return frames_until_reminder(listener)


@pytest.fixture
def missed(server: RealtimeServer, redis: Redis) -> Missed:
    return Missed(server, redis)


def loses_group_task(how: str, task_id: int, group_id: int, alice: Actor, ada: Actor, bob: Actor) -> None:
    match how:
        case "removed from the group":
            groups.remove_member(ada, group_id, bob.user_id)
        case "group deleted":
            groups.delete_group(ada, group_id)
        case "moved to another group":
            tasks.update_task(alice, task_id, {"group_id": create_group(ada, members=(alice,))})
        case "taken from the group":
            tasks.update_task(alice, task_id, {"group_id": None})


GROUP_LOSSES = ["removed from the group", "group deleted", "moved to another group", "taken from the group"]


@pytest.mark.parametrize("how", GROUP_LOSSES)
def test_tasks_of_a_group_are_not_replayed_after_the_loss_of_access(
    missed: Missed, how: str, shared: int, group: int, redis: Redis, alice: Actor, bob: Actor, ada: Actor
) -> None:
    tasks.update_task(alice, shared, {"title": "Secret 2"})
    publish(redis)
    loses_group_task(how, shared, group, alice, ada, bob)

    assert missed(bob) == []


@pytest.mark.parametrize(
    "lose",
    [
        lambda alice, _, task_id: tasks.update_task(alice, task_id, {"assignee_id": None}),
        lambda alice, ada, task_id: tasks.update_task(alice, task_id, {"assignee_id": ada.user_id}),
        lambda alice, ada, task_id: delegation.delegate_task(alice, task_id, ada.user_id, None),
    ],
    ids=["unassigned", "reassigned", "delegated"],
)
def test_a_task_is_not_replayed_to_a_former_assignee(
    missed: Missed,
    lose: Callable[..., Any],
    assigned: int,
    redis: Redis,
    alice: Actor,
    bob: Actor,
    ada: Actor,
) -> None:
    publish(redis)
    lose(alice, ada, assigned)

    assert missed(bob) == []


def test_after_a_return_to_the_group_its_events_are_replayed_again(
    missed: Missed, shared: int, group: int, bob: Actor, ada: Actor
) -> None:
    groups.remove_member(ada, group, bob.user_id)
    groups.put_member(ada, group, bob.user_id, is_manager=False)

    types = [frame["type"] for frame in missed(bob)]

    assert types == ["task.created", "task.assigned", "notification.created", "task.commented", "notification.created"]


def test_an_admin_who_becomes_a_user_gets_no_events_of_others(missed: Missed, alice: Actor, ada: Actor) -> None:
    other_admin = create_actor("grace", Role.ADMIN)
    create_task(alice, title="Secret")
    administration.change_account(other_admin, ada.user_id, {"role": Role.USER})
    session = sessions.open_session(ada.user_id, Client("127.0.0.1", "tests"), timedelta(days=1))

    assert missed(Actor(ada.user_id, Role.USER, session.session_id)) == []


class TestDeletedTasks:
    def test_the_last_readers_of_a_task_get_its_deletion(
        self, missed: Missed, assigned: int, alice: Actor, bob: Actor
    ) -> None:
        tasks.delete_task(alice, assigned)

        types = [frame["type"] for frame in missed(bob) if frame["task_id"] == assigned]

        assert types == ["task.created", "task.assigned", "task.commented", "task.deleted"]

    def test_who_had_lost_access_before_the_deletion_gets_nothing(
        self, missed: Missed, assigned: int, alice: Actor, bob: Actor
    ) -> None:
        tasks.update_task(alice, assigned, {"assignee_id": None})
        tasks.delete_task(alice, assigned)

        assert missed(bob) == []

    def test_who_leaves_the_group_after_the_deletion_gets_nothing(
        self, missed: Missed, shared: int, group: int, alice: Actor, bob: Actor, ada: Actor
    ) -> None:
        tasks.delete_task(alice, shared)
        groups.remove_member(ada, group, bob.user_id)

        assert missed(bob) == []


def test_events_that_waited_for_their_publication_are_not_sent_after_the_loss_of_access(
    group: int, server: RealtimeServer, redis: Redis, alice: Actor, bob: Actor, ada: Actor
) -> None:
    publish(redis)
    caught_up(server)
    with server.listening(bob) as listener:
        task_id = create_task(alice, title="Secret", group_id=group)
        tasks.delete_task(alice, create_task(alice, title="Secret", group_id=group))
        comments.create_comment(alice, task_id, "Secret", QUOTA)
        groups.remove_member(ada, group, bob.user_id)
        remind(bob)
        publish(redis)

        assert frames_until_reminder(listener) == []


def test_events_that_wait_for_a_slow_reader_are_discarded_after_the_loss_of_access(
    shared: int,
    group: int,
    server: RealtimeServer,
    redis: Redis,
    alice: Actor,
    bob: Actor,
    ada: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ws_protocol, "STALL_SECONDS", 60)
    publish(redis)
    caught_up(server)
    with server.open(bob, sock=narrow_socket(server.address)) as listener:
        assert next_frame(listener)["type"] == "ready"
        for number in range(_MANY):
            tasks.update_task(alice, shared, {"title": f"Secret {number}", "description": _LARGE})
        publish(redis)
        caught_up(server)
        assert server.unsent_bytes
        groups.remove_member(ada, group, bob.user_id)
        lost = publish(redis)
        remind(bob)
        publish(redis)
        caught_up(server)

        received = frames_until_reminder(listener)

    assert received[-1] == {"type": "resync_required", "seq": lost}
    assert 0 < len(received[:-1]) < _MANY


def test_a_slow_reader_of_missed_events_gets_no_more_of_them_after_the_loss_of_access(
    missed: Missed,
    shared: int,
    group: int,
    server: RealtimeServer,
    redis: Redis,
    alice: Actor,
    bob: Actor,
    ada: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ws_protocol, "STALL_SECONDS", 60)
    for number in range(_MANY):
        tasks.update_task(alice, shared, {"title": f"Secret {number}", "description": _LARGE})
    publish(redis)
    caught_up(server)
    with server.open(bob, f"/ws?since={missed.since}", sock=narrow_socket(server.address)) as listener:
        assert next_frame(listener)["type"] == "ready"
        wait_until(lambda: server.unsent_bytes > 0)
        groups.remove_member(ada, group, bob.user_id)
        remind(bob)
        publish(redis)
        caught_up(server)

        received = frames_until_reminder(listener)

    assert 0 < len(received) < _MANY


def test_the_permission_is_checked_in_the_statement_that_reads_the_events(
    missed: Missed, shared: int, redis: Redis, alice: Actor, bob: Actor
) -> None:
    for _ in range(20):
        create_task(alice)
    publish(redis)

    with statements_sent() as statements:
        page = events.read_missed(bob, missed.since, 100)

    assert len(statements) == 1
    assert [event.task_id for _, event in page if event is not None and event.task_id] == [shared] * 3
