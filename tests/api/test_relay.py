"""From the event log to the listeners: who receives which event, each exactly once and in order."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from websockets.sync.client import ClientConnection

from api.http.threads import Bridge
from api.realtime.hub import Frame, Listener
from core import db, events
from core.config import Settings
from core.errors import Unavailable
from core.local.embedded.servers import EmbeddedRedis
from core.policy import Actor
from core.services import publication, sessions, tasks
from tests.api.realtime import (
    REMINDER,
    STREAM_LENGTH,
    RealtimeServer,
    close_code,
    kill,
    next_frame,
    publish,
    receive_until,
    remind,
)
from tests.builders import create_group, create_task
from tests.forecasts import BAD, GOOD, arrive, create_outdoor_task, create_place, forecast
from tests.polling import wait_until
from tests.sql import execute

_RECHECK_SECONDS = 1.0
# A socket counts until the server has noticed its end, so clients that reconnect fast have many for a moment.
_SOCKETS = 100
_QUEUE_FRAMES = 16
_TASKS = 150


class DelayingBridge(Bridge):
    """A bridge that, for chosen functions, runs another function before it returns the result."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.run_before_result: dict[Callable[..., Any], Callable[[], None]] = {}

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        result = await super().run(function, *args, **kwargs)
        await asyncio.to_thread(self.run_before_result.pop(function, lambda: None))
        return result


class RememberingBridge(Bridge):
    """A bridge that remembers which functions had no result because the database took too long."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.late: list[Callable[..., Any]] = []

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().run(function, *args, **kwargs)
        except Unavailable:
            self.late.append(function)
            raise


class HoldingBridge(Bridge):
    """A bridge that does not tell which numbers the event log contains before it is allowed to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.allowed = threading.Event()

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if function is events.bounds:
            await asyncio.to_thread(self.allowed.wait, 10)
        return await super().run(function, *args, **kwargs)


@pytest.fixture(scope="module")
def module_server(settings: Settings) -> Iterator[RealtimeServer]:
    # With this long cache time, only an event from the stream can end a socket in these tests.
    changes = {"session_cache_seconds": 3600, "socket_queue_frames": _QUEUE_FRAMES, "sockets_per_user": _SOCKETS}
    with RealtimeServer(settings.model_copy(update=changes), DelayingBridge) as running:
        yield running


@pytest.fixture
def server(module_server: RealtimeServer, database: None) -> RealtimeServer:
    """The server of this module, after it has read the events of earlier tests and of other servers."""
    caught_up(module_server)
    return module_server


@pytest.fixture
def bridge(server: RealtimeServer) -> DelayingBridge:
    """The bridge of the server."""
    assert isinstance(server.bridge, DelayingBridge)
    return server.bridge


@pytest.fixture
def killable_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may kill."""
    with EmbeddedRedis(tmp_path, durable=False) as running:
        yield running


@pytest.fixture
def killable_client(killable_redis: EmbeddedRedis) -> Iterator[Redis]:
    """A client of the Redis that a test may kill."""
    with Redis.from_url(killable_redis.url) as client:
        yield client


@pytest.fixture
def killable_server(settings: Settings, killable_redis: EmbeddedRedis, database: None) -> Iterator[RealtimeServer]:
    """A server that follows the Redis that a test may kill."""
    changes = {
        "redis_url": type(settings.redis_url)(killable_redis.url),
        "session_cache_seconds": _RECHECK_SECONDS,
        "sockets_per_user": _SOCKETS,
    }
    with RealtimeServer(settings.model_copy(update=changes)) as running:
        wait_until(lambda: running.relay.snapshot().connected)
        yield running


def caught_up(server: RealtimeServer) -> None:
    wait_until(lambda: server.relay.snapshot().position == events.bounds().last)


def test_an_event_is_sent_to_those_who_may_read_the_task(
    server: RealtimeServer, redis: Redis, alice: Actor, bob: Actor, mallory: Actor, ada: Actor
) -> None:
    with ExitStack() as stack:
        as_alice, as_bob, as_mallory, as_ada = (
            stack.enter_context(server.listening(actor)) for actor in (alice, bob, mallory, ada)
        )
        task_id = create_task(alice, title="Sail")
        created = publish(redis)
        tasks.update_task(alice, task_id, {"assignee_id": bob.user_id})
        remind(mallory)
        last = publish(redis)

        frame = next_frame(as_alice)
        assert (frame["seq"], frame["type"], frame["task_id"]) == (created, events.TASK_CREATED, task_id)
        assert (frame["actor_id"], frame["data"]["title"]) == (alice.user_id, "Sail")
        assert frame["at"]
        assert next_frame(as_bob)["data"]["assignee_id"] == bob.user_id
        # An admin receives every event except notifications, which only their recipient receives.
        seen_by_all = [
            event.seq for event in events.read_since(created - 1, 100) if event.type != events.NOTIFICATION_CREATED
        ]
        assert receive_until(as_ada, last) == seen_by_all
        assert seen_by_all[-1] - seen_by_all[0] == len(seen_by_all)
        # Her first frame is the event that was recorded for her, so she received no other event.
        assert next_frame(as_mallory)["type"] == REMINDER


def test_a_warning_about_the_weather_is_sent_to_the_people_of_the_task(
    server: RealtimeServer, redis: Redis, alice: Actor, bob: Actor, mallory: Actor, ada: Actor
) -> None:
    place_id = create_place()
    task_id = create_outdoor_task(alice, place_id, title="Sail", group_id=create_group(ada, members=(alice, bob)))
    arrive(place_id, forecast(GOOD))
    publish(redis)
    caught_up(server)
    with ExitStack() as stack:
        as_alice, as_bob, as_mallory = (stack.enter_context(server.listening(actor)) for actor in (alice, bob, mallory))
        for gusts in (BAD, BAD, GOOD):
            arrive(place_id, forecast(gusts))
        remind(alice, bob, mallory)
        publish(redis)

        for listener in (as_alice, as_bob):
            frames = [next_frame(listener) for _ in range(5)]
            assert [frame["type"] for frame in frames] == [
                events.TASK_WEATHER_WARNED, events.NOTIFICATION_CREATED,
                events.TASK_WEATHER_CLEARED, events.NOTIFICATION_CREATED, REMINDER,
            ]  # fmt: skip
            warned, notification, cleared, *_ = frames
            assert (warned["task_id"], warned["actor_id"], warned["data"]["weather_state"]) == (task_id, None, "warned")
            assert [reason["expected"] for event in (warned, cleared) for reason in event["data"]["reasons"]] == [
                BAD,
                GOOD,
            ]
            assert notification["data"]["text"].startswith(
                "Bad weather is expected for the task “Sail”: gusts of 63 km/h"
            )
        assert next_frame(as_mallory)["type"] == REMINDER


def test_the_ready_frame_has_the_number_of_the_last_event(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice, times=3)
    last = publish(redis)
    caught_up(server)
    with server.open(alice) as listener:
        assert next_frame(listener) == {"type": "ready", "seq": last, "user_id": alice.user_id}
        remind(alice)
        publish(redis)
        assert receive_until(listener, last + 1) == [last + 1]


def test_a_socket_is_not_ready_before_the_relay_knows_its_position(
    settings: Settings, redis: Redis, alice: Actor
) -> None:
    remind(alice)
    last = publish(redis)
    server = RealtimeServer(settings, HoldingBridge)
    assert isinstance(server.bridge, HoldingBridge)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.__enter__)
        wait_until(lambda: server.is_started)
        with server.open(alice) as listener:
            wait_until(lambda: server.listeners == 1)
            assert server.relay.snapshot().position is None
            assert not server.relay.snapshot().connected
            server.bridge.allowed.set()
            starting.result()
            assert next_frame(listener) == {"type": "ready", "seq": last, "user_id": alice.user_id}
        server.__exit__()


def test_since_sends_missed_events_and_then_new_ones(
    server: RealtimeServer, redis: Redis, alice: Actor, mallory: Actor
) -> None:
    start = events.bounds().last
    remind(alice, times=250)
    remind(mallory)
    remind(alice)
    last = publish(redis)
    with server.open(alice, f"/ws?since={start}") as listener:
        assert next_frame(listener) == {"type": "ready", "seq": start, "user_id": alice.user_id}
        assert receive_until(listener, last) == [*range(start + 1, start + 251), last]
        remind(alice)
        publish(redis)
        assert receive_until(listener, last + 1) == [last + 1]


def test_since_with_the_last_number_sends_new_events(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice)
    last = publish(redis)
    with server.listening(alice, f"/ws?since={last}") as listener:
        remind(alice)
        publish(redis)
        assert receive_until(listener, last + 1) == [last + 1]


@pytest.mark.parametrize("missed", [0, 2])
def test_an_event_published_while_missed_events_are_read_is_sent(
    server: RealtimeServer, bridge: DelayingBridge, redis: Redis, alice: Actor, missed: int
) -> None:
    def publish_more() -> None:
        remind(alice)
        publish(redis)
        caught_up(server)
        db.disconnect()

    remind(alice, times=2)
    last = publish(redis)
    caught_up(server)
    bridge.run_before_result[events.read_missed] = publish_more
    with server.listening(alice, f"/ws?since={last - missed}") as listener:
        assert receive_until(listener, last + 1) == list(range(last - missed + 1, last + 2))


def test_since_with_the_number_before_the_oldest_event_misses_nothing(
    server: RealtimeServer, redis: Redis, alice: Actor
) -> None:
    remind(alice, times=5)
    last = publish(redis)
    caught_up(server)
    execute("DELETE FROM events WHERE seq <= %s", (last - 2,))
    with server.listening(alice, f"/ws?since={last - 2}") as listener:
        assert receive_until(listener, last) == [last - 1, last]


@pytest.mark.parametrize("kept", [0, 2])
def test_events_that_are_purged_before_they_are_read_require_a_resync(
    server: RealtimeServer, bridge: DelayingBridge, redis: Redis, alice: Actor, kept: int
) -> None:
    remind(alice, times=5)
    last = publish(redis)
    caught_up(server)

    def purge() -> None:
        execute("DELETE FROM events WHERE seq <= %s", (last - kept,))
        db.disconnect()

    bridge.run_before_result[events.bounds] = purge
    with server.open(alice, f"/ws?since={last - 5}") as listener:
        assert next_frame(listener) == {"type": "ready", "seq": last - 5, "user_id": alice.user_id}
        assert next_frame(listener) == {"type": "resync_required", "seq": last}
        remind(alice)
        publish(redis)
        assert receive_until(listener, last + 1) == [last + 1]


@pytest.mark.parametrize("distance", [-3, 1, 10**15])
def test_since_with_a_purged_or_future_number_requires_a_resync(
    server: RealtimeServer, redis: Redis, alice: Actor, distance: int
) -> None:
    remind(alice, times=5)
    last = publish(redis)
    caught_up(server)
    execute("DELETE FROM events WHERE seq <= %s", (last - 2,))
    with server.open(alice, f"/ws?since={last + distance}") as listener:
        assert next_frame(listener) == {"type": "ready", "seq": last, "user_id": alice.user_id}
        assert next_frame(listener) == {"type": "resync_required", "seq": last}
        remind(alice)
        publish(redis)
        assert receive_until(listener, last + 1) == [last + 1]


def test_a_burst_of_events_is_received_completely_by_a_fast_reader(
    server: RealtimeServer, redis: Redis, alice: Actor
) -> None:
    with server.listening(alice) as listener:
        start = events.bounds().last
        remind(alice, times=2000)
        last = publish(redis)
        assert receive_until(listener, last) == list(range(start + 1, last + 1))


@pytest.mark.parametrize("padding", [0, 126, 65_400, 65_536, 200_000])
def test_an_event_of_any_length_arrives_whole_and_wakes_no_task(
    server: RealtimeServer, redis: Redis, alice: Actor, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a frame has one of three forms."""
    queued: list[Frame] = []
    with server.listening(alice) as listener:
        listener.send('{"action": "ping"}')
        assert next_frame(listener) == {"type": "pong"}
        wait_until(lambda: all(idle(socket) for socket in server.relay.hub._all()))  # noqa: SLF001 - no public method lists them.
        monkeypatch.setattr(Listener, "_enqueue", lambda _listener, frame: queued.append(frame))
        remind(alice, padding=padding)
        publish(redis)

        assert next_frame(listener)["data"]["padding"] == "x" * padding
    assert queued == []


def idle(listener: Listener) -> bool:
    return listener._sender_is_idle  # noqa: SLF001 - the task that sends has sent everything when this is true.


def test_an_ended_session_closes_only_its_own_sockets(
    server: RealtimeServer, redis: Redis, alice: Actor, ada: Actor
) -> None:
    with server.listening(alice) as ended, server.listening(ada) as admin:
        sessions.revoke_session(alice, alice.session_id)
        remind(ada)
        publish(redis)
        assert close_code(ended) == 4403
        assert next_frame(admin)["type"] == REMINDER


def test_revocation_events_are_not_sent_to_clients(server: RealtimeServer, redis: Redis, ada: Actor) -> None:
    start = events.bounds().last
    with db.unit_of_work():
        events.record(
            events.SESSIONS_REVOKED, audience=[ada.user_id], data={"session_ids": [0], "user_id": ada.user_id}
        )
    remind(ada)
    publish(redis)
    with server.listening(ada, f"/ws?since={start}") as listener:
        assert next_frame(listener)["type"] == REMINDER


def test_a_session_that_has_just_ended_cannot_open_a_socket(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    with server.listening(alice) as listener:
        sessions.revoke_session(alice, alice.session_id)
        publish(redis)
        assert close_code(listener) == 4403
    with pytest.raises(Exception, match="403"):
        server.open(alice)


def test_a_session_that_ends_during_the_handshake_closes_the_socket(
    server: RealtimeServer, bridge: DelayingBridge, redis: Redis, alice: Actor
) -> None:
    def revoke() -> None:
        sessions.revoke_session(alice, alice.session_id)
        publish(redis)
        caught_up(server)
        db.disconnect()

    ticket = sessions.issue_ticket(alice, timedelta(minutes=1), None)
    bridge.run_before_result[sessions.redeem_ticket] = revoke
    with server.anonymous(f"/ws?ticket={ticket}") as listener:
        assert close_code(listener) == 4403


def test_an_ended_session_closes_its_sockets_without_redis(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor, bob: Actor
) -> None:
    kill(killable_redis, killable_client)
    with killable_server.listening(alice) as ended, killable_server.listening(bob) as still_open:
        sessions.revoke_session(alice, alice.session_id)
        assert close_code(ended) == 4403
        still_open.send('{"action": "ping"}')
        assert next_frame(still_open) == {"type": "pong"}


def test_sessions_are_looked_up_again_after_the_database_was_blocked(settings: Settings, alice: Actor) -> None:
    changes = {"session_cache_seconds": _RECHECK_SECONDS, "database_timeout": 1.0}
    with (
        RealtimeServer(settings.model_copy(update=changes), RememberingBridge) as server,
        server.listening(alice) as ended,
    ):
        bridge = server.bridge
        assert isinstance(bridge, RememberingBridge)
        with db.unit_of_work():
            execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: sessions.session_actors in bridge.late)
        # No event says that the session has ended, so only looking it up can show it.
        execute("UPDATE sessions SET revoked_at = now() WHERE id = %s", (alice.session_id,))
        assert close_code(ended) == 4403


def test_a_new_role_applies_to_an_open_socket(
    killable_server: RealtimeServer, killable_client: Redis, alice: Actor, mallory: Actor
) -> None:
    with killable_server.listening(mallory) as listener:
        execute("UPDATE users SET role = 'admin' WHERE id = %s", (mallory.user_id,))

        def receives_events_of_alice() -> bool:
            remind(alice)
            publish(killable_client)
            try:
                return bool(listener.recv(timeout=0.1))
            except TimeoutError:
                return False

        wait_until(receives_events_of_alice)


def test_no_event_is_lost_when_the_stream_is_emptied(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    with server.listening(alice) as listener:
        start = events.bounds().last
        for _ in range(3):
            remind(alice)
            last = publish(redis)
            redis.flushdb()
        assert receive_until(listener, last) == list(range(start + 1, last + 1))


def test_no_event_is_lost_if_the_stream_has_only_a_later_one(
    server: RealtimeServer, redis: Redis, alice: Actor
) -> None:
    with server.listening(alice) as listener:
        start = events.bounds().last
        remind(alice, times=2)
        number_events()
        _, later = events.read_since(start, 2)
        redis.xadd(events.STREAM_KEY, publication.stream_entry(later), id=f"{later.seq}-0")
        assert receive_until(listener, start + 2) == [start + 1, start + 2]


def test_events_missing_from_redis_are_read_from_postgresql(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor
) -> None:
    with killable_server.listening(alice) as listener:
        start = events.bounds().last
        kill(killable_redis, killable_client)
        wait_until(lambda: not killable_server.relay.snapshot().connected)
        remind(alice, times=20)
        killable_redis.start()
        last = publish(killable_client, stream_length=3)
        assert receive_until(listener, last) == list(range(start + 1, last + 1))


def test_a_listener_that_has_missed_nothing_needs_no_resync(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor
) -> None:
    """Redis loses its data twice: first nothing has happened meanwhile, then two events that PostgreSQL has."""
    state = killable_server.relay.snapshot
    with killable_server.listening(alice) as listener:
        remind(alice)
        last = publish(killable_client)
        assert receive_until(listener, last) == [last]
        for is_recorded_meanwhile in (False, True):
            kill(killable_redis, killable_client)
            wait_until(lambda: not state().connected)
            if is_recorded_meanwhile:
                remind(alice, times=2)
                number_events()
            killable_redis.start()
            wait_until(lambda: state().connected)
        assert receive_until(listener, last + 2) == [last + 1, last + 2]


def number_events() -> None:
    """Number the events without adding them to the stream, as a publisher does that then loses Redis."""
    publication._number_all()  # noqa: SLF001 - the public function would also write to Redis.


@pytest.mark.parametrize("kept", [0, 4, 9])
def test_purged_events_missing_from_redis_require_a_resync(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor, kept: int
) -> None:
    with killable_server.listening(alice) as listener:
        kill(killable_redis, killable_client)
        wait_until(lambda: not killable_server.relay.snapshot().connected)
        remind(alice, times=10)
        number_events()
        last = events.bounds().last
        execute("DELETE FROM events WHERE seq <= %s", (last - kept,))
        killable_redis.start()
        assert next_frame(listener) == {"type": "resync_required", "seq": last - kept}
        remind(alice)
        publish(killable_client)
        assert receive_until(listener, last + 1) == list(range(last - kept + 1, last + 2))


def test_a_listener_that_has_read_events_before_they_were_purged_needs_no_resync(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor
) -> None:
    start = events.bounds().last
    kill(killable_redis, killable_client)
    wait_until(lambda: not killable_server.relay.snapshot().connected)
    remind(alice, times=3)
    number_events()
    with killable_server.listening(alice, f"/ws?since={start}") as listener:
        assert receive_until(listener, start + 3) == [start + 1, start + 2, start + 3]
        wait_until(lambda: joined_after(killable_server) == [start + 3])
        execute("DELETE FROM events")
        killable_redis.start()
        caught_up(killable_server)
        remind(alice)
        publish(killable_client)
        assert receive_until(listener, start + 4) == [start + 4]


def joined_after(server: RealtimeServer) -> list[float]:
    """The number of the event after which each listener gets live events."""
    return [listener.after for listener in server.relay.hub._all()]  # noqa: SLF001 - no public method lists them.


def test_a_restored_database_requires_a_resync(
    killable_server: RealtimeServer, killable_client: Redis, alice: Actor
) -> None:
    with killable_server.listening(alice) as listener:
        start = events.bounds().last
        remind(alice, times=10)
        last = publish(killable_client)
        assert receive_until(listener, last) == list(range(start + 1, last + 1))
        # Act as a backup that has only the first four events. The publisher then rewrites the stream.
        execute("DELETE FROM events WHERE seq > %s", (start + 4,))
        execute("UPDATE event_log_state SET last_seq = %(seq)s, jobs_seq = %(seq)s", {"seq": start + 4})
        publish(killable_client)
        assert next_frame(listener) == {"type": "resync_required", "seq": start + 4}
        remind(alice)
        publish(killable_client)
        assert receive_until(listener, start + 5) == [start + 5]


@pytest.mark.parametrize("distance", [1, 1000])
def test_entries_with_unexpected_numbers_in_the_stream_are_ignored(
    killable_server: RealtimeServer, killable_client: Redis, alice: Actor, distance: int
) -> None:
    with killable_server.listening(alice) as listener:
        start = events.bounds().last
        killable_client.xadd(events.STREAM_KEY, {"junk": "yes"}, id=f"{start + distance}-0")
        wait_until(lambda: not killable_server.relay.snapshot().connected)
        remind(alice, times=2)
        killable_client.delete(events.STREAM_KEY)
        publish(killable_client)
        assert receive_until(listener, start + 2) == [start + 1, start + 2]


def test_the_snapshot_shows_whether_redis_is_connected(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor
) -> None:
    kill(killable_redis, killable_client)
    wait_until(lambda: not killable_server.relay.snapshot().connected)
    with killable_server.listening(alice):
        assert killable_server.relay.snapshot().listeners == 1
    killable_redis.start()
    wait_until(lambda: killable_server.relay.snapshot().connected)


class Writer:
    """Creates and changes tasks of Alice in one thread and publishes in another, until everything is published."""

    def __init__(self, redis: Redis, alice: Actor, bob: Actor) -> None:
        self._redis = redis
        self._alice = alice
        self._bob = bob
        self._written = threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._publish)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        for number in range(_TASKS):
            task_id = create_task(self._alice, title=f"Task {number}")
            tasks.update_task(self._alice, task_id, {"assignee_id": self._bob.user_id})
        # All listeners receive the last event, so that each of them can see when to stop.
        remind(self._alice, self._bob)
        db.disconnect()
        self._written.set()

    def _publish(self) -> None:
        complete = False
        while not complete:
            complete = self._written.is_set()
            try:
                publish(self._redis)
            except RedisError:
                complete = False
        db.disconnect()


def listen_with_reconnects(
    server: RealtimeServer, actor: Actor, since: int, is_over: Callable[[int], bool]
) -> list[int]:
    """Receive a few frames, reconnect with `since`, and repeat; return the numbers of all received events."""
    received = [since]
    rng = random.Random()  # noqa: S311 - the number varies the test and is no secret.
    while not is_over(received[-1]):
        with server.listening(actor, f"/ws?since={received[-1]}") as listener:
            received += _some_frames(listener, rng.randrange(1, 60))
    return received[1:]


def _some_frames(listener: ClientConnection, count: int) -> list[int]:
    received: list[int] = []
    try:
        while len(received) < count:
            received.append(receive_soon(listener))
    except TimeoutError:
        pass
    return received


def receive_soon(listener: ClientConnection) -> int:
    """Return the number of the next frame; raise `TimeoutError` if none comes soon."""
    frame = listener.recv(timeout=0.3)
    assert '"resync_required"' not in str(frame)
    return int(str(frame).partition('"seq":')[2].partition(",")[0])


def assert_nothing_is_lost(
    server: RealtimeServer, writer: Writer, listeners: list[Actor], trouble: Callable[[], None]
) -> None:
    """Check that listeners that reconnect while `trouble` runs receive each event once and in order."""
    start = events.bounds().last
    published = threading.Event()
    last = [0]

    def is_over(seq: int) -> bool:
        return published.is_set() and seq >= last[0]

    with ThreadPoolExecutor(len(listeners)) as pool:
        received = [pool.submit(listen_with_reconnects, server, actor, start, is_over) for actor in listeners]
        with writer:
            trouble()
        last[0] = events.bounds().last
        published.set()
        # Each task has four events. Bob does not receive the creation, because he is assigned later. Alice does not
        # receive the notification for Bob.
        assert last[0] - start == _TASKS * 4 + 1
        for numbers in received:
            mine = numbers.result()
            assert mine == sorted(set(mine))
            assert len(mine) == _TASKS * 3 + 1


def test_reconnecting_listeners_receive_every_event_once_and_in_order(
    server: RealtimeServer, redis: Redis, alice: Actor, bob: Actor
) -> None:
    assert_nothing_is_lost(server, Writer(redis, alice, bob), [alice, alice, alice, bob], lambda: None)


def test_every_event_is_received_once_while_redis_is_emptied_and_killed(
    killable_server: RealtimeServer, killable_redis: EmbeddedRedis, killable_client: Redis, alice: Actor, bob: Actor
) -> None:
    def trouble() -> None:
        position = killable_server.relay.snapshot().position or 0
        for step in (40, 80, 120):
            wait_until(lambda: (killable_server.relay.snapshot().position or 0) >= position + step)  # noqa: B023 - it is called in this iteration only.
            killable_client.flushall()
        kill(killable_redis, killable_client)
        killable_redis.start()

    assert_nothing_is_lost(killable_server, Writer(killable_client, alice, bob), [alice, alice, bob], trouble)


def test_the_snapshot_has_position_listeners_and_connection(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice)
    last = publish(redis, STREAM_LENGTH)
    caught_up(server)
    with server.listening(alice):
        state = server.relay.snapshot()
        assert (state.position, state.listeners, state.connected) == (last, 1, True)
