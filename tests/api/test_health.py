"""Health: whether the process runs, and whether its dependencies are available."""

from pydantic import SecretStr

from api.app import create_app
from core.config import Settings
from tests.api.callers import Caller, LiveServer


def test_liveness_returns_name_and_version(anybody: Caller) -> None:
    body = anybody.get("/health").json()

    assert (body["status"], body["app_name"]) == ("ok", "Allweather")
    assert body["version"]


def test_readiness_names_each_dependency(anybody: Caller) -> None:
    body = anybody.get("/health/ready").json()

    assert (body["status"], body["dependencies"]) == ("ok", {"postgresql": "ok", "redis": "ok"})


def test_without_redis_readiness_is_degraded_but_200(settings: Settings, unused_tcp_port: int) -> None:
    url = SecretStr(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with LiveServer(create_app(settings.model_copy(update={"redis_url": url}))) as server:
        response = Caller(server.url).get("/health/ready")

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["dependencies"] == {"postgresql": "ok", "redis": "unavailable"}
