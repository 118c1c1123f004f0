"""Requests that are counted together get the counts that they would have got one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from api.http.request_counters import Bucket, Count, SharedCounter
from core.local.embedded.servers import EmbeddedRedis
from tests.polling import wait_until

HOUR = 3600


@asynccontextmanager
async def shared_counter(redis_url: str) -> AsyncIterator[SharedCounter]:
    counter = SharedCounter(redis_url)
    try:
        yield counter
    finally:
        await counter.close()


def count_together(redis_url: str, *requests: tuple[tuple[Bucket, ...], int]) -> list[Count]:
    """Count requests, each with its buckets and its weight, that arrive at the same time."""

    async def count() -> list[Count]:
        async with shared_counter(redis_url) as counter:
            return await asyncio.gather(*(counter.count(buckets, weight) for buckets, weight in requests))

    return asyncio.run(count())


@pytest.fixture(params=["with Redis", "without Redis"])
def url(request: pytest.FixtureRequest, redis: Redis, redis_url: str, unused_tcp_port: int) -> str:
    redis.flushdb()
    return redis_url if request.param == "with Redis" else f"redis://127.0.0.1:{unused_tcp_port}/0"


def test_equal_requests_get_different_counts(url: str) -> None:
    alice = (Bucket("alice", 3, HOUR),)

    counts = count_together(url, *[(alice, 1)] * 5)

    assert [(count.remaining, count.exceeded) for count in counts] == [
        (2, False),
        (1, False),
        (0, False),
        (0, True),
        (0, True),
    ]


def test_callers_are_counted_apart(url: str) -> None:
    alice, bob = (Bucket("alice", 2, HOUR),), (Bucket("bob", 2, HOUR),)

    counts = count_together(url, (alice, 1), (bob, 1), (alice, 1), (alice, 1))

    assert [count.exceeded for count in counts] == [False, False, False, True]
    assert counts[1].remaining == 1


def test_a_request_that_does_not_fit_in_one_bucket_is_counted_in_none(url: str) -> None:
    owner, token = Bucket("owner", 10, HOUR), Bucket("token", 2, HOUR)

    counts = count_together(url, *[((token, owner), 1)] * 4, ((owner,), 1))

    assert [count.exceeded for count in counts] == [False, False, True, True, False]
    assert (counts[-1].limit, counts[-1].remaining) == (10, 7)


def test_heavy_requests_are_counted_with_their_whole_weight_or_not_at_all(url: str) -> None:
    alice = (Bucket("alice", 7, HOUR),)

    counts = count_together(url, (alice, 3), (alice, 3), (alice, 3), (alice, 1))

    assert [(count.remaining, count.exceeded) for count in counts] == [(4, False), (1, False), (1, True), (0, False)]


def test_requests_that_arrive_together_take_one_round_trip(redis: Redis, redis_url: str) -> None:
    count_together(redis_url, ((Bucket("alice", 10, HOUR),), 1))
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]

    count_together(redis_url, *[((Bucket(name, 10, HOUR),), 1) for name in ("alice", "bob", "carol") * 10])

    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_a_request_whose_client_has_left_does_not_disturb_the_others(redis_url: str) -> None:
    alice = (Bucket("alice", 10, HOUR),)

    async def count() -> Count:
        async with shared_counter(redis_url) as counter:
            left = asyncio.create_task(counter.count(alice, 1))
            stays = asyncio.create_task(counter.count(alice, 1))
            await asyncio.sleep(0)
            left.cancel()
            return await stays

    assert asyncio.run(count()).remaining == 8


def test_an_unexpected_error_is_logged_and_the_requests_are_counted_without_redis(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = (Bucket("alice", 2, HOUR),)

    async def fail(*_: object) -> None:
        raise AttributeError("an error in a library")

    async def count() -> list[Count]:
        async with shared_counter(redis_url) as counter:
            monkeypatch.setattr("api.http.request_counters._Script.run", fail)
            async with asyncio.timeout(10):
                return await asyncio.gather(*(counter.count(alice, 1) for _ in range(3)))

    with capture_logs() as lines:
        counts = asyncio.run(count())

    assert [count.exceeded for count in counts] == [False, False, True]
    (line,) = lines
    assert (line["event"], line["reason"], line["exc_info"]) == ("rate_limit_counts_alone", "AttributeError", True)


def test_if_the_counting_is_cancelled_no_request_waits_without_end(redis_url: str) -> None:
    alice = (Bucket("alice", 10, HOUR),)

    async def cancel() -> list[Count | BaseException]:
        async with shared_counter(redis_url) as counter:
            requests = [asyncio.create_task(counter.count(alice, 1)) for _ in range(2)]
            await asyncio.sleep(0)
            (counting,) = (task for task in asyncio.all_tasks() if task.get_name() == "rate-limits")
            await asyncio.sleep(0)
            requests.append(asyncio.create_task(counter.count(alice, 1)))
            await asyncio.sleep(0)
            counting.cancel()
            async with asyncio.timeout(10):
                return await asyncio.gather(*requests, return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(cancel())] == [asyncio.CancelledError] * 3


@pytest.mark.parametrize("loss", ["script", "connection"])
def test_redis_counts_on_after_it_has_lost_the_script_or_the_connection(
    loss: str, redis: Redis, redis_url: str
) -> None:
    redis.flushdb()
    alice = (Bucket("alice", 9, HOUR),)

    def clients() -> set[str]:
        return {client["id"] for client in redis.client_list()}

    async def count() -> list[int]:
        others = clients()
        async with shared_counter(redis_url) as counter:
            first = await counter.count(alice, 1)
            if loss == "script":
                redis.script_flush()
            else:
                (own,) = clients() - others
                redis.client_kill_filter(_id=own)
                # The end of the connection arrives in a later turn of the loop than that of the kill.
                await asyncio.to_thread(redis.ping)
            second = await counter.count(alice, 1)
            return [first.remaining, second.remaining]

    with capture_logs() as lines:
        assert asyncio.run(count()) == [8, 7]

    assert "rate_limit_counts_alone" not in [line["event"] for line in lines]


def test_a_server_that_has_become_a_replica_is_left(tmp_path: Path) -> None:
    """Sentinel makes a replica of a primary that was only slow. It refuses to count, but its connections stay open."""

    async def count(redis: Redis) -> None:
        alice = (Bucket("alice", 9, HOUR),)
        async with shared_counter(server.url) as counter:
            await counter.count(alice, 1)
            redis.replicaof("127.0.0.1", "1")
            await counter.count(alice, 1)
            await asyncio.to_thread(wait_until, lambda: len(redis.client_list(_type="normal")) == 1)

    with EmbeddedRedis(tmp_path, durable=False) as server, Redis.from_url(server.url) as redis:
        asyncio.run(count(redis))
