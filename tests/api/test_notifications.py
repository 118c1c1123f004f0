"""Notifications over HTTP and over the WebSocket of their recipient."""

from typing import Any

import pytest
from redis import Redis
from websockets.sync.client import connect

from core.config import Settings
from core.messages import LANGUAGES, msg, translate
from core.policy import Actor
from core.security import TokenIssuer
from tests.api.callers import Caller, LiveServer, assert_problem, create_task
from tests.api.realtime import publish
from worker.links import links_into

NOTIFICATIONS = "/api/v1/notifications"


def assign(caller: Caller, actor: Actor, title: str = "Clean the gutters") -> dict[str, Any]:
    return create_task(caller, title=title, assignee_id=actor.user_id)


def test_notifications_are_listed_counted_and_marked_as_read(as_alice: Caller, as_bob: Caller, bob: Actor) -> None:
    for number in range(3):
        assign(as_alice, bob, f"Task {number}")

    listed = as_bob.get(NOTIFICATIONS, params={"limit": "2"})
    newest = listed.json()["items"][0]

    assert (listed.json()["total"], listed.headers["X-Total-Count"]) == (3, "3")
    assert newest["kind"] == "assigned"
    assert newest["text"] == "Alice gave you the task “Task 2”."
    assert newest["read_at"] is None
    assert as_bob.post(f"{NOTIFICATIONS}/{newest['id']}/read").status_code == 204
    assert as_bob.get(f"{NOTIFICATIONS}/unread").json() == {"unread": 2}
    assert newest["id"] not in [item["id"] for item in as_bob.get(f"{NOTIFICATIONS}?unread=true").json()["items"]]
    assert as_bob.post(f"{NOTIFICATIONS}/read_all").status_code == 204
    assert as_bob.get(f"{NOTIFICATIONS}/unread").json() == {"unread": 0}
    assert as_bob.get(NOTIFICATIONS).json()["total"] == 3


def test_notifications_of_others_are_not_accessible(
    as_alice: Caller, as_bob: Caller, as_ada: Caller, bob: Actor
) -> None:
    assign(as_alice, bob)
    (mine,) = as_bob.get(NOTIFICATIONS).json()["items"]

    assert as_ada.get(NOTIFICATIONS).json()["items"] == []
    assert_problem(as_ada.post(f"{NOTIFICATIONS}/{mine['id']}/read"), 404, "notification_not_found")
    assert as_bob.get(f"{NOTIFICATIONS}/unread").json() == {"unread": 1}


def test_the_recipient_gets_the_event_and_an_admin_does_not(
    live_server: LiveServer, as_alice: Caller, alice: Actor, bob: Actor, ada: Actor, issuer: TokenIssuer, redis: Redis
) -> None:
    def listen(actor: Actor) -> Any:
        token = issuer.access_token(actor.user_id, actor.session_id)
        headers = {"Authorization": f"Bearer {token}"}
        return connect(f"ws://127.0.0.1:{live_server.port}/ws", additional_headers=headers)

    with listen(bob) as bobs, listen(ada) as adas:
        for socket in (bobs, adas):
            assert '"ready"' in str(socket.recv(timeout=10))
        assign(as_alice, bob)
        as_alice.post("/api/v1/tasks", json={"title": "The last"})
        publish(redis)

        frames_of_ada = [str(adas.recv(timeout=10)) for _ in range(3)]
        frames_of_bob = [str(bobs.recv(timeout=10)) for _ in range(3)]

    assert ["notification.created" in frame for frame in frames_of_ada] == [False, False, False]
    assert '"The last"' in frames_of_ada[2]
    assert "notification.created" in frames_of_bob[2]
    assert "Alice gave you the task" in frames_of_bob[2]


class TestLostAccess:
    @pytest.fixture
    def task(self, as_alice: Caller, bob: Actor) -> dict[str, Any]:
        """A task of Alice that was assigned to Bob, with a comment for him, and is assigned to nobody now."""
        task = create_task(as_alice, title="Secret", assignee_id=bob.user_id, due_at="2030-05-01T09:00:00Z")
        as_alice.post(f"/tasks/{task['id']}/comments", json={"body": "Secret"})
        as_alice.patch(f"/tasks/{task['id']}", json={"assignee_id": None})
        return task

    def test_notifications_of_a_task_that_one_cannot_see_lose_their_content(
        self, task: dict[str, Any], as_bob: Caller
    ) -> None:
        listed = as_bob.get(NOTIFICATIONS)

        assert listed.json()["total"] == 2
        assert as_bob.get(f"{NOTIFICATIONS}/unread").json() == {"unread": 2}
        for item, kind in zip(listed.json()["items"], ["commented", "assigned"], strict=True):
            assert (item["kind"], item["task_id"], item["actor_id"]) == (kind, task["id"], None)
            assert item["details"] == dict.fromkeys(["title", "due_at", "due_on", "said", "actor", "weather"])
            assert item["text"] == "This is about a task that you can no longer see."
        assert "Secret" not in as_bob.get("/api/v1/users/me/export").text

    @pytest.mark.parametrize("language", LANGUAGES)
    @pytest.mark.usefixtures("task")
    def test_their_text_is_in_the_language_of_the_reader(self, language: str, as_bob: Caller) -> None:
        listed = as_bob.get(NOTIFICATIONS, headers={"Accept-Language": language}).json()["items"]

        text = translate(msg("This is about a task that you can no longer see."), language)
        assert [item["text"] for item in listed] == [text, text]

    def test_they_have_their_content_again_when_the_task_can_be_read_again(
        self, task: dict[str, Any], as_alice: Caller, as_bob: Caller, bob: Actor
    ) -> None:
        as_alice.patch(f"/tasks/{task['id']}", json={"assignee_id": bob.user_id})

        listed = as_bob.get(NOTIFICATIONS).json()["items"]

        assert [item["details"]["title"] for item in listed] == ["Secret"] * 3
        assert listed[1]["details"]["said"] == "Secret"

    def test_an_admin_keeps_their_content(self, as_alice: Caller, as_ada: Caller, ada: Actor) -> None:
        task = assign(as_alice, ada, "Shared")
        as_alice.patch(f"/tasks/{task['id']}", json={"assignee_id": None})

        assert as_ada.get(NOTIFICATIONS).json()["items"][0]["details"]["title"] == "Shared"

    @pytest.mark.parametrize("what", ["", "/comments", "/activity", "/attachments", "/reminders", "/delegations"])
    def test_what_belongs_to_the_task_is_refused(self, what: str, task: dict[str, Any], as_bob: Caller) -> None:
        assert_problem(as_bob.get(f"/api/v1/tasks/{task['id']}{what}"), 403, "task_forbidden")


class TestMail:
    def test_preferences_are_read_and_changed(self, as_bob: Caller) -> None:
        path = f"{NOTIFICATIONS}/preferences"

        assert set(as_bob.get(path).json().values()) == {True}
        assert as_bob.patch(path, json={"overdue": False}).json()["overdue"] is False
        assert as_bob.get(path).json() == {
            "assigned": True,
            "delegated": True,
            "commented": True,
            "reminder": True,
            "overdue": False,
            "weather_warned": True,
            "weather_cleared": True,
            "rescheduled": True,
        }
        assert_problem(as_bob.patch(path, json={"letters": False}), 422, "invalid")

    def test_the_unsubscribe_link_works_without_a_login(
        self, anybody: Caller, as_bob: Caller, bob: Actor, issuer: TokenIssuer
    ) -> None:
        link = f"{NOTIFICATIONS}/unsubscribe?token={issuer.unsubscribe_token(bob.user_id, 'commented')}"

        assert anybody.get(link).status_code == 200
        assert as_bob.get(f"{NOTIFICATIONS}/preferences").json()["commented"] is True
        assert anybody.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 204
        assert as_bob.get(f"{NOTIFICATIONS}/preferences").json()["commented"] is False

    def test_the_unsubscribe_page_asks_and_then_confirms(
        self, anybody: Caller, bob: Actor, issuer: TokenIssuer
    ) -> None:
        link = f"{NOTIFICATIONS}/unsubscribe?token={issuer.unsubscribe_token(bob.user_id, 'commented')}"

        asks = anybody.get(link, headers={"Accept": "text/html"})
        done = anybody.post(link, headers={"Accept": "text/html"})

        assert "<form" in asks.text
        assert "<form" not in done.text
        assert "no more mails" in done.text
        assert "script" not in asks.headers["Content-Security-Policy"]

    @pytest.mark.parametrize("change", [lambda token: token[:-1] + "x", lambda token: token.replace(".", "0.", 1)])
    def test_a_forged_link_changes_nothing(
        self, change: Any, anybody: Caller, as_bob: Caller, bob: Actor, issuer: TokenIssuer
    ) -> None:
        token = change(issuer.unsubscribe_token(bob.user_id, "commented"))

        link = f"{NOTIFICATIONS}/unsubscribe?token={token}"
        page = anybody.post(link, headers={"Accept": "text/html"})

        assert (page.status_code, page.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
        assert "Nothing has changed." in page.text
        assert_problem(anybody.post(link), 401, "token_invalid")
        assert as_bob.get(f"{NOTIFICATIONS}/preferences").json()["commented"] is True

    def test_the_links_in_mails_lead_to_the_task_and_to_the_page(
        self,
        anybody: Caller,
        as_bob: Caller,
        as_alice: Caller,
        bob: Actor,
        issuer: TokenIssuer,
        settings: Settings,
    ) -> None:
        links = links_into(settings.model_copy(update={"public_url": ""}))
        task_id = assign(as_alice, bob)["id"]

        assert as_bob.get(links.to_task(task_id)).json()["id"] == task_id
        page = anybody.get(links.to_unsubscribe(issuer.unsubscribe_token(bob.user_id, "assigned")))
        assert page.headers["Content-Type"].startswith("text/html")
        assert page.status_code == 200

    def test_tokens_of_other_kinds_are_refused(
        self, anybody: Caller, live_server: LiveServer, bob: Actor, issuer: TokenIssuer
    ) -> None:
        refresh_token = issuer.refresh_token(bob.session_id, 0)
        link = issuer.unsubscribe_token(bob.user_id, "assigned")

        assert_problem(anybody.post(f"{NOTIFICATIONS}/unsubscribe?token={refresh_token}"), 401, "token_invalid")
        assert_problem(Caller(live_server.url, link).get("/api/v1/auth/me"), 401, "token_invalid")
