"""Health: whether the process lives, and whether what it depends on is there."""

from pydantic import SecretStr

from api.app import create_app
from core.config import Settings
from tests.api.callers import Caller, LiveServer


def test_liveness_asks_nobody(anybody: Caller) -> None:
    answer = anybody.get("/health").json()

    assert (answer["status"], answer["app_name"]) == ("ok", "Allweather")
    assert answer["version"]


def test_readiness_names_each_dependency(anybody: Caller) -> None:
    answer = anybody.get("/health/ready").json()

    assert (answer["status"], answer["dependencies"]) == ("ok", {"postgresql": "ok", "redis": "ok"})


def test_without_redis_it_is_degraded_but_ready(settings: Settings, unused_tcp_port: int) -> None:
    url = SecretStr(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with LiveServer(create_app(settings.model_copy(update={"redis_url": url}))) as server:
        response = Caller(server.url).get("/health/ready")

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["dependencies"] == {"postgresql": "ok", "redis": "unavailable"}
