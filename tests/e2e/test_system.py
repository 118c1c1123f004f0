"""The main features, end to end, with real processes."""

import json
import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from websockets.sync.client import ClientConnection

from core.metrics.export import OFFSETS
from tests.chaos.storm import kill_parts_under_load, parts_of
from tests.doubles.otlp import Collector
from tests.doubles.smtp import MailServer
from tests.doubles.weather import WeatherServer
from tests.e2e.people import Person
from tests.e2e.system import ADMIN, System
from tests.metrics import samples
from tests.polling import wait_until


def frames(socket: ClientConnection, last_type: str, task_id: int) -> list[dict[str, Any]]:
    """Receive frames until the event of this type for the task, and return all of them."""
    received: list[dict[str, Any]] = []
    while not received or frame_of(received[-1]) != (last_type, task_id):
        received.append(json.loads(socket.recv(timeout=30)))
    return received


def frame_of(frame: dict[str, Any]) -> tuple[str, int | None]:
    """Return what happened, and to which task."""
    return frame["type"], frame.get("task_id")


def test_weather_is_sent_to_the_socket_of_the_owner_only(system: System) -> None:
    alice, mallory = Person(system), Person(system)
    with alice.listen() as socket, mallory.listen() as elsewhere:
        task = alice.create_task(title="Clean the gutters", city="London")
        received_frames = frames(socket, "task.enriched", task["id"])
        own = mallory.create_task(title="Something else")
        frames_of_mallory = frames(elsewhere, "task.created", own["id"])

    assert [frame["type"] for frame in received_frames] == ["ready", "task.created", "task.enriched"]
    weather = received_frames[-1]["data"]["weather"]
    assert (weather["temperature"], weather["condition"], weather["provider"]) == (11.4, "slight rain", "open-meteo")
    assert alice.get(f"/tasks/{task['id']}") == received_frames[-1]["data"]
    assert {frame.get("task_id") for frame in frames_of_mallory} == {None, own["id"]}


def test_the_mail_of_a_registration_proves_the_address(system: System, mail: MailServer) -> None:
    alice = Person(system)
    assert not alice.get("/auth/me")["email_verified"]

    alice.confirm_email(mail)

    assert alice.get("/auth/me")["email_verified"]


def test_a_due_reminder_is_sent_to_the_socket_and_by_mail_once(system: System, mail: MailServer) -> None:
    alice, bob = Person(system), Person(system)
    bob.confirm_email(mail)
    with bob.listen() as socket:
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id)
        alice.post(f"/tasks/{task['id']}/reminders", remind_at="2026-01-01T00:00:00Z")
        received_frames = frames(socket, "task.reminder", task["id"])
        notification = json.loads(socket.recv(timeout=30))

    def mails() -> list[str]:
        return [
            sent["Subject"] for sent in mail.mails if sent["To"] == bob.email and "notification" in sent["Message-ID"]
        ]

    assert [frame["type"] for frame in received_frames[1:]] == [
        "task.created",
        "task.assigned",
        "notification.created",
        "task.reminder",
    ]
    assert (notification["type"], notification["data"]["kind"]) == ("notification.created", "reminder")
    wait_until(lambda: len(mails()) >= 2, 30)
    assert Counter(mails()) == Counter(
        ["A reminder of the task “Clean the gutters”.", f"{alice.name} gave you the task “Clean the gutters”."]
    )


def test_bad_weather_warns_and_a_task_that_is_moved_to_a_better_time_is_cleared(
    system: System, weather: WeatherServer
) -> None:
    """The first task is moved by its owner, the second one by a worker."""
    alice = Person(system)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
    outdoors = {"city": "Los Angeles", "due_at": noon.isoformat(), "weather_rule": {"max_rain_probability": 40}}
    with alice.listen() as socket:
        task = alice.create_task(title="Paint the fence", **outdoors)
        latest = (noon + timedelta(days=3)).isoformat()
        movable = alice.create_task(title="Mow the lawn", auto_reschedule={"not_after": latest}, **outdoors)
        wait_until(lambda: alice.get("/tasks?weather_state=ok")["total"] == 2, 30)

        weather.expect("Los Angeles", noon - timedelta(hours=3), noon + timedelta(hours=3), rain_probability=90)
        system.refresh_forecasts()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["weather_state"] == "warned", 90)
        moved_by_worker = frames(socket, "task.weather_cleared", movable["id"])
        (better,) = alice.get(f"/tasks/{task['id']}/better-times?limit=1")["items"]
        moved = alice.post(f"/tasks/{task['id']}/reschedule", starts_at=better["starts_at"])
        cleared = frames(socket, "task.weather_cleared", task["id"])

    (warned,) = [frame for frame in moved_by_worker if frame_of(frame) == ("task.weather_warned", task["id"])]
    (reason,) = warned["data"]["reasons"]
    assert (reason["limit"], reason["allowed"], reason["expected"]) == ("max_rain_probability", 40, 90)
    (update,) = [frame for frame in moved_by_worker if "rescheduled" in frame.get("data", {})]
    assert (update["task_id"], update["actor_id"]) == (movable["id"], None)
    assert update["data"]["rescheduled"]["reason"].startswith("dry, ")
    events = [frame_of(frame) for frame in cleared if frame.get("task_id") == task["id"]]
    assert events == [("task.updated", task["id"]), ("task.weather_cleared", task["id"])]
    assert (moved["due_at"], moved["weather_state"]) == (better["due_at"], "warned")
    assert alice.get(f"/tasks/{task['id']}")["weather_state"] == "ok"
    kinds = [(item["kind"], item["task_id"]) for item in alice.get("/notifications")["items"]]
    assert Counter(kinds) == Counter(
        [
            ("weather_warned", task["id"]),
            ("weather_warned", movable["id"]),
            ("rescheduled", movable["id"]),
            ("weather_cleared", movable["id"]),
        ]
    )


def test_an_unknown_city_becomes_unavailable(system: System) -> None:
    alice = Person(system)

    task = alice.create_task(title="Dive", city="Atlantis")

    wait_until(lambda: alice.get(f"/tasks/{task['id']}")["weather_status"] == "unavailable")


def test_one_trace_covers_a_request_its_use_case_its_job_and_the_provider(system: System, collector: Collector) -> None:
    alice = Person(system)
    trace, span = "5af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    response = requests.post(
        f"{system.url}/api/v1/tasks",
        json={"title": "Mow the lawn", "city": "Rome"},
        headers=alice.headers | {"traceparent": f"00-{trace}-{span}-01"},
        timeout=10,
    )
    assert response.status_code == 201
    assert response.headers["X-Request-ID"] == trace

    # Each process sends its spans by itself.
    expected = {"POST /api/v1/tasks", "tasks.create_task", "weather.enrich", "call open-meteo"}
    wait_until(lambda: collector.of_trace(trace).keys() >= expected, 30)
    spans = collector.of_trace(trace)
    request, job, call = spans["POST /api/v1/tasks"], spans["weather.enrich"], spans["call open-meteo"]
    assert [each.service for each in (request, job, call)] == [
        "allweather-web",
        "allweather-worker",
        "allweather-worker",
    ]
    assert (request.parent, job.parent, call.parent) == (span, request.id, job.id)
    assert spans["tasks.create_task"].parent == request.id
    assert not any(b"Mow the lawn" in body or alice.email.encode() in body for body in collector.bodies)
    lines = [json.loads(line) for line in (system.data_directory / "app.log").read_text().splitlines()]
    processes = {line["process"] for line in lines if line.get("trace_id") == trace}
    assert processes == {"web", "worker"}


def test_each_kind_of_process_exports_its_metrics(system: System) -> None:
    def exported(kind: str) -> set[str]:
        return {name for name, _, _ in samples(system.metrics_port + OFFSETS[kind])}

    Person(system).create_task(title="Paint the fence", city="London")
    wait_until(lambda: "allweather_provider_request_duration_seconds_count" in exported("worker"), 60)

    assert "allweather_job_duration_seconds_count" in exported("worker")
    assert exported("beat") >= {"allweather_events_unpublished", "allweather_queue_messages", "allweather_beat_leads"}
    assert exported("web") >= {
        "allweather_build_info",
        "allweather_http_request_duration_seconds_count",
        "allweather_http_requests_under_way",
        "allweather_threads_busy",
        "allweather_sockets_open",
    }
    assert "allweather_events_unpublished" not in exported("web") | exported("worker")


def test_analytics_are_exact_immediately(system: System) -> None:
    alice = Person(system)
    for status in ("todo", "todo", "done"):
        alice.create_task(title=status, status=status)

    figures = alice.get("/analytics")

    assert figures["by_status"] == {"todo": 2, "in_progress": 0, "done": 1}
    assert list(figures["by_user"].values()) == [3]


def test_the_first_admin_comes_from_the_environment(system: System) -> None:
    alice = Person(system)
    task = alice.create_task(title="Seen by the admin")

    admin = Person(system, **ADMIN)

    assert admin.get(f"/tasks/{task['id']}")["id"] == task["id"]


def test_every_kind_of_process_says_that_it_runs_and_what_it_does(system: System) -> None:
    admin = Person(system, **ADMIN)
    admin.create_task(title="Counted", city="Paris")

    def kinds() -> set[str]:
        processes = admin.get("/admin/operations")["processes"]
        assert all(process["memory_bytes"] > 0 for process in processes)
        return {process["kind"] for process in processes if process["state"] == "ok"}

    def counted(kind: str) -> set[str]:
        return {row["name"] for row in admin.get("/admin/operations")[kind]}

    wait_until(lambda: kinds() == {"web", "worker", "beat"}, 30)
    wait_until(lambda: "weather.enrich" in counted("jobs") and "POST /api/v1/tasks" in counted("requests"), 30)


def test_flower_lists_the_worker_and_the_jobs_by_name(system: System) -> None:
    alice = Person(system)
    alice.create_task(title="Seen in Flower", city="Paris")

    def table_of_jobs() -> str:
        query = {"draw": 1, "start": 0, "length": 100, "order[0][column]": 0, "columns[0][data]": "name"}
        return requests.get(f"{system.flower_url}/tasks/datatable", params=query, timeout=10).text

    wait_until(lambda: "worker@" in requests.get(f"{system.flower_url}/workers", timeout=10).text, 30)
    wait_until(lambda: all(f'"{name}"' in table_of_jobs() for name in ("weather.enrich", "events.publish")), 30)


def test_a_killed_worker_is_restarted_and_no_job_is_lost(system: System) -> None:
    alice = Person(system)
    with alice.listen() as socket:
        for process in parts_of(system, "worker"):
            process.kill()
        task = alice.create_task(title="While nobody works", city="Berlin")
        received_frames = frames(socket, "task.enriched", task["id"])

    assert [frame["type"] for frame in received_frames if frame.get("task_id") == task["id"]] == [
        "task.created",
        "task.enriched",
    ]


def test_a_killed_api_is_restarted_and_a_listener_misses_no_event(system: System) -> None:
    alice = Person(system)
    with alice.listen() as socket:
        first = alice.create_task(title="Before")
        seq = frames(socket, "task.created", first["id"])[-1]["seq"]
        (web,) = parts_of(system, "web")
        second = alice.create_task(title="Right before")
        os.kill(web.pid, signal.SIGKILL)
    wait_until(lambda: system.returns_ok("/health/ready"), 60)

    with alice.listen(since=seq) as socket:
        received_frames = frames(socket, "task.created", second["id"])

    assert [frame.get("task_id") for frame in received_frames] == [None, second["id"]]


def test_passwords_tokens_and_titles_are_not_logged(system: System) -> None:
    password = "a password that stands nowhere else"
    alice = Person(system, password=password)
    alice.create_task(title="A very private title")
    log = system.data_directory / "app.log"
    wait_until(lambda: f'"user_id":{alice.id}' in log.read_text())

    written = log.read_text() + system.log.read_text()

    token = alice.headers["Authorization"].split()[1]
    for secret in (password, ADMIN["password"], token, "A very private title"):
        assert secret not in written


def test_requests_get_503_while_postgresql_is_suspended(system: System) -> None:
    alice = Person(system)
    alice.get("/tasks")
    postgres = parts_of(system, "postgres")
    for process in postgres:
        process.suspend()
    try:
        refused = requests.get(f"{system.url}/api/v1/tasks", headers=alice.headers, timeout=20)
        readiness = requests.get(f"{system.url}/health/ready", timeout=20)
        liveness = requests.get(f"{system.url}/health", timeout=20)
    finally:
        for process in postgres:
            process.resume()

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert refused.headers["Retry-After"]
    assert (readiness.status_code, readiness.json()["dependencies"]["postgresql"]) == (503, "unavailable")
    assert liveness.status_code == 200
    wait_until(lambda: system.returns_ok("/health/ready"), 30)
    assert alice.get("/tasks")["total"] == 0


def test_requests_work_while_redis_is_suspended(system: System) -> None:
    alice = Person(system)
    redis = parts_of(system, "redis")
    for process in redis:
        process.suspend()
    try:
        task = alice.create_task(title="Without Redis", city="London")
        assert alice.get("/tasks")["total"] == 1
    finally:
        for process in redis:
            process.resume()

    wait_until(lambda: alice.get(f"/tasks/{task['id']}")["weather_status"] == "ready", 60)


def test_all_guarantees_hold_while_every_part_is_killed_once(system: System) -> None:
    """A short version of the test that `make chaos` runs."""
    kill_parts_under_load(system, ["redis", "worker", "postgres", "beat", "web"], lambda: 1.0)
