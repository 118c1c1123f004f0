"""The URL of Redis: one server, or the sentinels that know the primary."""

import pytest

from core.config import ConfigurationError, Settings
from core.redis_clients import SentinelUrl, broker_settings, parse

USABLE = {"SECRET_KEY": "k" * 32, "DATABASE_URL": "postgresql://db/x"}


@pytest.mark.parametrize("url", ["redis://:secret@host:6379/0", "rediss://host/1", "unix:///run/redis.sock"])
def test_a_url_of_one_server_is_used_as_it_is(url: str) -> None:
    assert parse(url) is None
    assert broker_settings(url) == (url, {})


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redis+sentinel://host/tasks", SentinelUrl((("host", 26379),), "tasks")),
        (
            "redis+sentinel://ada:a%40b@one:1,two,[::3]:3/tasks/2?sentinel_username=guard&sentinel_password=c%26d",
            SentinelUrl((("one", 1), ("two", 26379), ("::3", 3)), "tasks", 2, "ada", "a@b", "guard", "c&d"),
        ),
    ],
)
def test_a_url_names_sentinels(url: str, parts: SentinelUrl) -> None:
    assert parse(url) == parts


def test_the_passwords_are_not_shown() -> None:
    shown = repr(parse("redis+sentinel://:secret@host/tasks?sentinel_password=secret"))

    assert "secret" not in shown


def test_the_broker_gets_all_sentinels_and_both_logins() -> None:
    url, options = broker_settings("redis+sentinel://:a%40b@one:1,[::2]:2/tasks/3?sentinel_password=s")

    assert url == "sentinel://:a%40b@one:1/3;sentinel://:a%40b@[::2]:2/3"
    assert options["master_name"] == "tasks"
    assert options["sentinel_kwargs"]["password"] == "s"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://:secret@host:26379", "the name of the primary is missing"),
        ("redis+sentinel://:secret@host:26379/tasks/zero", "must be a number"),
        ("redis+sentinel://:secret@host:port/tasks", "the port of a sentinel must be a number"),
        ("redis+sentinel://:secret@host:1,/tasks", "the host of a sentinel is missing"),
        ("redis+sentinel://:secret@host/tasks?ssl=true", "unknown option ssl"),
        ("rediss+sentinel://:secret@host/tasks", "TLS to sentinels is not supported"),
        ("sentinel://:secret@host/tasks", r"must be given as redis\+sentinel://"),
    ],
)
def test_an_incomplete_url_with_sentinels_stops_the_process_and_is_not_repeated(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"REDIS_URL: .*{reason}") as failure:
        Settings.from_environ(USABLE | {"REDIS_URL": url})

    assert "secret" not in str(failure.value)
