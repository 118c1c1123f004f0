"""From the event log to the listeners: who hears what, and that nothing is missing or comes twice."""

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
from core import db, events
from core.config import Settings
from core.local.embedded.servers import EmbeddedRedis
from core.policy import Actor
from core.services import publication, sessions, tasks
from tests.api.realtime import (
    REMINDER,
    STREAM_LENGTH,
    RealtimeServer,
    close_code,
    hear,
    hear_until,
    kill,
    publish,
    remind,
)
from tests.builders import create_task
from tests.polling import wait_until
from tests.sql import execute

_RECHECK_SECONDS = 1.0
_QUEUE_FRAMES = 16
_TASKS = 150


class HesitantBridge(Bridge):
    """Brings the answer of a call so late that, where a test wishes so, something happens in the meantime."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.meanwhile: dict[Callable[..., Any], Callable[[], None]] = {}

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        answer = await super().run(function, *args, **kwargs)
        await asyncio.to_thread(self.meanwhile.pop(function, lambda: None))
        return answer


@pytest.fixture(scope="module")
def lasting_server(settings: Settings) -> Iterator[RealtimeServer]:
    # Sessions are practically never looked up again, so what ends a socket here has come through the stream.
    changes = {"session_cache_seconds": 3600, "socket_queue_frames": _QUEUE_FRAMES}
    with RealtimeServer(settings.model_copy(update=changes), HesitantBridge) as running:
        yield running


@pytest.fixture
def server(lasting_server: RealtimeServer, database: None) -> RealtimeServer:
    """A server that knows of all that earlier tests have left, and of what other servers were told meanwhile."""
    caught_up(lasting_server)
    return lasting_server


@pytest.fixture
def bridge(server: RealtimeServer) -> HesitantBridge:
    """The bridge of the server."""
    assert isinstance(server.bridge, HesitantBridge)
    return server.bridge


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may kill."""
    with EmbeddedRedis(tmp_path, durable=False) as running:
        yield running


@pytest.fixture
def mortal(mortal_redis: EmbeddedRedis) -> Iterator[Redis]:
    """A client of the Redis that a test may kill."""
    with Redis.from_url(mortal_redis.url) as client:
        yield client


@pytest.fixture
def mortal_server(settings: Settings, mortal_redis: EmbeddedRedis, database: None) -> Iterator[RealtimeServer]:
    """A server that follows the Redis that a test may kill."""
    changes = {"redis_url": type(settings.redis_url)(mortal_redis.url), "session_cache_seconds": _RECHECK_SECONDS}
    with RealtimeServer(settings.model_copy(update=changes)) as running:
        wait_until(lambda: running.relay.snapshot().connected)
        yield running


def caught_up(server: RealtimeServer) -> None:
    wait_until(lambda: server.relay.snapshot().position == events.bounds().last)


def test_event_reaches_those_who_may_read_the_task(
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

        frame = hear(as_alice)
        assert (frame["seq"], frame["type"], frame["task_id"]) == (created, events.TASK_CREATED, task_id)
        assert (frame["actor_id"], frame["data"]["title"]) == (alice.user_id, "Sail")
        assert frame["at"]
        assert hear(as_bob)["data"]["assignee_id"] == bob.user_id
        # An admin hears all but what is told to Bob alone.
        heard_by_all = [
            event.seq for event in events.read_since(created - 1, 100) if event.type != events.NOTIFICATION_CREATED
        ]
        assert hear_until(as_ada, last) == heard_by_all
        assert heard_by_all[-1] - heard_by_all[0] == len(heard_by_all)
        # What she hears first is what was for her, so nothing came before it.
        assert hear(as_mallory)["type"] == REMINDER


def test_ready_tells_after_which_event_the_listener_hears(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice, times=3)
    last = publish(redis)
    caught_up(server)
    with server.open(alice) as listener:
        assert hear(listener) == {"type": "ready", "seq": last, "user_id": alice.user_id}
        remind(alice)
        publish(redis)
        assert hear(listener)["seq"] == last + 1


def test_since_brings_what_was_missed_and_then_goes_on_live(
    server: RealtimeServer, redis: Redis, alice: Actor, mallory: Actor
) -> None:
    start = events.bounds().last
    remind(alice, times=250)
    remind(mallory)
    remind(alice)
    last = publish(redis)
    with server.open(alice, f"/ws?since={start}") as listener:
        assert hear(listener) == {"type": "ready", "seq": start, "user_id": alice.user_id}
        assert hear_until(listener, last) == [*range(start + 1, start + 251), last]
        remind(alice)
        publish(redis)
        assert hear(listener)["seq"] == last + 1


def test_since_the_last_event_misses_nothing(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice)
    last = publish(redis)
    with server.listening(alice, f"/ws?since={last}") as listener:
        remind(alice)
        publish(redis)
        assert hear(listener)["seq"] == last + 1


@pytest.mark.parametrize("missed", [0, 2])
def test_event_published_while_the_missed_ones_are_read_is_not_missed(
    server: RealtimeServer, bridge: HesitantBridge, redis: Redis, alice: Actor, missed: int
) -> None:
    def publish_more() -> None:
        remind(alice)
        publish(redis)
        caught_up(server)
        db.disconnect()

    remind(alice, times=2)
    last = publish(redis)
    caught_up(server)
    bridge.meanwhile[events.read_since] = publish_more
    with server.listening(alice, f"/ws?since={last - missed}") as listener:
        assert hear_until(listener, last + 1) == list(range(last - missed + 1, last + 2))


@pytest.mark.parametrize("distance", [-3, 1, 10**15])
def test_since_that_is_not_kept_or_of_another_history_asks_for_a_resync(
    server: RealtimeServer, redis: Redis, alice: Actor, distance: int
) -> None:
    remind(alice, times=5)
    last = publish(redis)
    caught_up(server)
    execute("DELETE FROM events WHERE seq <= %s", (last - 2,))
    with server.open(alice, f"/ws?since={last + distance}") as listener:
        assert hear(listener) == {"type": "ready", "seq": last, "user_id": alice.user_id}
        assert hear(listener) == {"type": "resync_required", "seq": last}
        remind(alice)
        publish(redis)
        assert hear(listener)["seq"] == last + 1


def test_burst_is_heard_whole_by_who_keeps_up(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    with server.listening(alice) as listener:
        start = events.bounds().last
        remind(alice, times=2000)
        last = publish(redis)
        assert hear_until(listener, last) == list(range(start + 1, last + 1))


def test_ended_session_closes_its_sockets_and_no_others(
    server: RealtimeServer, redis: Redis, alice: Actor, ada: Actor
) -> None:
    with server.listening(alice) as ended, server.listening(ada) as admin:
        sessions.revoke_session(alice, alice.session_id)
        remind(ada)
        publish(redis)
        assert close_code(ended) == 4403
        assert hear(admin)["type"] == REMINDER


def test_ended_session_is_not_replayed_to_an_admin(server: RealtimeServer, redis: Redis, ada: Actor) -> None:
    start = events.bounds().last
    with db.unit_of_work():
        events.record(
            events.SESSIONS_REVOKED, audience=[ada.user_id], data={"session_ids": [0], "user_id": ada.user_id}
        )
    remind(ada)
    publish(redis)
    with server.listening(ada, f"/ws?since={start}") as listener:
        assert hear(listener)["type"] == REMINDER


def test_session_that_ended_a_moment_ago_opens_no_socket(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    with server.listening(alice) as listener:
        sessions.revoke_session(alice, alice.session_id)
        publish(redis)
        assert close_code(listener) == 4403
    with pytest.raises(Exception, match="403"):
        server.open(alice)


def test_session_that_ends_while_its_socket_is_opened_closes_it(
    server: RealtimeServer, bridge: HesitantBridge, redis: Redis, alice: Actor
) -> None:
    def revoke() -> None:
        sessions.revoke_session(alice, alice.session_id)
        publish(redis)
        caught_up(server)
        db.disconnect()

    ticket = sessions.issue_ticket(alice, timedelta(minutes=1))
    bridge.meanwhile[sessions.redeem_ticket] = revoke
    with server.anonymous(f"/ws?ticket={ticket}") as listener:
        assert close_code(listener) == 4403


def test_ended_session_closes_its_sockets_without_redis_too(
    mortal_server: RealtimeServer, mortal_redis: EmbeddedRedis, mortal: Redis, alice: Actor, bob: Actor
) -> None:
    kill(mortal_redis, mortal)
    with mortal_server.listening(alice) as ended, mortal_server.listening(bob) as goes_on:
        sessions.revoke_session(alice, alice.session_id)
        assert close_code(ended) == 4403
        goes_on.send('{"action": "ping"}')
        assert hear(goes_on) == {"type": "pong"}


def test_change_of_role_reaches_an_open_socket(
    mortal_server: RealtimeServer, mortal: Redis, alice: Actor, mallory: Actor
) -> None:
    with mortal_server.listening(mallory) as listener:
        execute("UPDATE users SET role = 'admin' WHERE id = %s", (mallory.user_id,))

        def hears_of_alice() -> bool:
            remind(alice)
            publish(mortal)
            try:
                return bool(listener.recv(timeout=0.1))
            except TimeoutError:
                return False

        wait_until(hears_of_alice)


def test_stream_that_was_emptied_costs_nothing(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    with server.listening(alice) as listener:
        start = events.bounds().last
        for _ in range(3):
            remind(alice)
            last = publish(redis)
            redis.flushdb()
        assert hear_until(listener, last) == list(range(start + 1, last + 1))


def test_what_redis_did_not_keep_comes_from_postgresql(
    mortal_server: RealtimeServer, mortal_redis: EmbeddedRedis, mortal: Redis, alice: Actor
) -> None:
    with mortal_server.listening(alice) as listener:
        start = events.bounds().last
        kill(mortal_redis, mortal)
        wait_until(lambda: not mortal_server.relay.snapshot().connected)
        remind(alice, times=20)
        mortal_redis.start()
        last = publish(mortal, stream_length=3)
        assert hear_until(listener, last) == list(range(start + 1, last + 1))


def number_events() -> None:
    """What a publisher does before it loses Redis: the events have their numbers, and the stream lacks them."""
    publication._number_all()  # noqa: SLF001 - there is no other way to stop just there.


@pytest.mark.parametrize("kept", [0, 4])
def test_what_is_kept_nowhere_asks_for_a_resync(
    mortal_server: RealtimeServer, mortal_redis: EmbeddedRedis, mortal: Redis, alice: Actor, kept: int
) -> None:
    with mortal_server.listening(alice) as listener:
        kill(mortal_redis, mortal)
        wait_until(lambda: not mortal_server.relay.snapshot().connected)
        remind(alice, times=10)
        number_events()
        last = events.bounds().last
        execute("DELETE FROM events WHERE seq <= %s", (last - kept,))
        mortal_redis.start()
        assert hear(listener) == {"type": "resync_required", "seq": last - kept}
        remind(alice)
        publish(mortal)
        assert hear_until(listener, last + 1) == list(range(last - kept + 1, last + 2))


def test_restored_database_asks_for_a_resync(mortal_server: RealtimeServer, mortal: Redis, alice: Actor) -> None:
    with mortal_server.listening(alice) as listener:
        start = events.bounds().last
        remind(alice, times=10)
        last = publish(mortal)
        assert hear_until(listener, last) == list(range(start + 1, last + 1))
        # The backup knew the first four of these; the publisher then begins the stream anew.
        execute("DELETE FROM events WHERE seq > %s", (start + 4,))
        execute("UPDATE event_log_state SET last_seq = %(seq)s, jobs_seq = %(seq)s", {"seq": start + 4})
        publish(mortal)
        assert hear(listener) == {"type": "resync_required", "seq": start + 4}
        remind(alice)
        publish(mortal)
        assert hear(listener)["seq"] == start + 5


@pytest.mark.parametrize("distance", [1, 1000])
def test_stream_of_somebody_else_is_not_believed(
    mortal_server: RealtimeServer, mortal: Redis, alice: Actor, distance: int
) -> None:
    with mortal_server.listening(alice) as listener:
        start = events.bounds().last
        mortal.xadd(events.STREAM_KEY, {"junk": "yes"}, id=f"{start + distance}-0")
        wait_until(lambda: not mortal_server.relay.snapshot().connected)
        remind(alice, times=2)
        mortal.delete(events.STREAM_KEY)
        publish(mortal)
        assert hear_until(listener, start + 2) == [start + 1, start + 2]


def test_relay_waits_for_redis_and_tells_so(
    mortal_server: RealtimeServer, mortal_redis: EmbeddedRedis, mortal: Redis, alice: Actor
) -> None:
    kill(mortal_redis, mortal)
    wait_until(lambda: not mortal_server.relay.snapshot().connected)
    with mortal_server.listening(alice):
        assert mortal_server.relay.snapshot().listeners == 1
    mortal_redis.start()
    wait_until(lambda: mortal_server.relay.snapshot().connected)


class Writer:
    """Creates and changes tasks of Alice's in one thread and publishes in another, until all is published."""

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
        # The last event is for everybody, so that everybody knows that it is the last.
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


def listen_in_spells(server: RealtimeServer, actor: Actor, since: int, is_over: Callable[[int], bool]) -> list[int]:
    """Listen for a few frames at a time, come back with `since` each time, and answer all numbers heard."""
    heard = [since]
    chance = random.Random()  # noqa: S311 - it varies the test and protects nothing.
    while not is_over(heard[-1]):
        with server.listening(actor, f"/ws?since={heard[-1]}") as listener:
            heard += _some_frames(listener, chance.randrange(1, 60))
    return heard[1:]


def _some_frames(listener: ClientConnection, count: int) -> list[int]:
    heard: list[int] = []
    try:
        while len(heard) < count:
            heard.append(hear_soon(listener))
    except TimeoutError:
        pass
    return heard


def hear_soon(listener: ClientConnection) -> int:
    """The number of the next frame, which need not come: a listener who has heard all goes away for that."""
    frame = listener.recv(timeout=0.3)
    assert '"resync_required"' not in str(frame)
    return int(str(frame).partition('"seq":')[2].partition(",")[0])


def assert_gapless(server: RealtimeServer, writer: Writer, listeners: list[Actor], trouble: Callable[[], None]) -> None:
    """Have many listeners come and go while tasks are written and `trouble` happens; each hears all, in order."""
    start = events.bounds().last
    published = threading.Event()
    last = [0]

    def is_over(seq: int) -> bool:
        return published.is_set() and seq >= last[0]

    with ThreadPoolExecutor(len(listeners)) as ears:
        heard = [ears.submit(listen_in_spells, server, actor, start, is_over) for actor in listeners]
        with writer:
            trouble()
        last[0] = events.bounds().last
        published.set()
        # Alice owns every task. Bob is assigned to each after it was created, which he was not to hear of, and is told
        # so, which she is not to hear.
        assert last[0] - start == _TASKS * 4 + 1
        for numbers in heard:
            mine = numbers.result()
            assert mine == sorted(set(mine))
            assert len(mine) == _TASKS * 3 + 1


def test_every_event_is_heard_once_and_in_order_by_listeners_who_come_and_go(
    server: RealtimeServer, redis: Redis, alice: Actor, bob: Actor
) -> None:
    assert_gapless(server, Writer(redis, alice, bob), [alice, alice, alice, bob], lambda: None)


def test_every_event_is_heard_once_and_in_order_while_redis_forgets_and_dies(
    mortal_server: RealtimeServer, mortal_redis: EmbeddedRedis, mortal: Redis, alice: Actor, bob: Actor
) -> None:
    def trouble() -> None:
        position = mortal_server.relay.snapshot().position or 0
        for step in (40, 80, 120):
            wait_until(lambda: (mortal_server.relay.snapshot().position or 0) >= position + step)  # noqa: B023 - awaited here.
            mortal.flushall()
        kill(mortal_redis, mortal)
        mortal_redis.start()

    assert_gapless(mortal_server, Writer(mortal, alice, bob), [alice, alice, bob], trouble)


def test_snapshot_tells_how_the_relay_is_doing(server: RealtimeServer, redis: Redis, alice: Actor) -> None:
    remind(alice)
    last = publish(redis, STREAM_LENGTH)
    caught_up(server)
    with server.listening(alice):
        state = server.relay.snapshot()
        assert (state.position, state.listeners, state.connected) == (last, 1, True)
