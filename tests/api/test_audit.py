"""The audit log over HTTP: actors, actions, accounts and addresses."""

from typing import Any

import pytest

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from tests.api.callers import Caller, LiveServer, assert_problem, invalid_fields
from tests.builders import PASSWORD
from tests.sql import execute


def entries(as_ada: Caller, user_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = as_ada.get(f"/api/v1/audit?user_id={user_id}").json()["items"]
    return found


def actions(as_ada: Caller, user_id: int) -> list[str]:
    return [entry["action"] for entry in entries(as_ada, user_id)]


def test_entries_have_actor_action_account_and_address(
    as_ada: Caller, ada: Actor, alice: Actor, as_alice: Caller, anybody: Caller
) -> None:
    anybody.post("/auth/login", json={"username": "alice", "password": "wrong"}, headers={"X-Request-ID": "r-1"})
    as_alice.patch("/auth/me", json={"full_name": "A."})
    as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"role": "manager"})

    changed, profile, failed, *_ = entries(as_ada, alice.user_id)

    assert (changed["action"], changed["actor_id"]) == ("account.changed", ada.user_id)
    assert changed["details"] == {"role": "manager"}
    assert (profile["action"], profile["details"]) == ("profile.changed", {"fields": ["full_name"]})
    assert (failed["action"], failed["ip_address"], failed["request_id"]) == ("login.failed", "127.0.0.1", "r-1")


def test_entries_have_the_full_ipv6_address(as_ada: Caller, alice: Actor, settings: Settings) -> None:
    behind_proxy = settings.model_copy(update={"trusted_proxies": ("127.0.0.1",)})
    with LiveServer(create_app(behind_proxy)) as server:
        wrong = {"username": "alice", "password": "wrong"}
        Caller(server.url).post("/auth/login", json=wrong, headers={"X-Forwarded-For": "2001:db8:1:2::7"})

    assert entries(as_ada, alice.user_id)[0]["ip_address"] == "2001:db8:1:2::7"


def test_entries_are_kept_when_the_account_is_deleted(as_ada: Caller, alice: Actor, as_alice: Caller) -> None:
    as_alice.post("/api/v1/users/me/delete", json={"current_password": PASSWORD})

    assert actions(as_ada, alice.user_id)[0] == "account.deleted"


def test_password_changes_and_ended_sessions_are_logged(as_ada: Caller, alice: Actor, as_alice: Caller) -> None:
    as_alice.patch("/auth/me", json={"password": "an even better one", "current_password": PASSWORD})
    as_alice.post("/auth/logout_all")

    assert actions(as_ada, alice.user_id)[:2] == ["sessions.ended", "password.changed"]
    assert "better" not in as_ada.get("/api/v1/audit").text


def test_unknown_user_names_are_not_stored(as_ada: Caller, anybody: Caller) -> None:
    anybody.post("/auth/login", json={"username": "my-password-typed-here", "password": "x"})

    response = as_ada.get("/api/v1/audit")

    assert response.json()["items"][0]["user_id"] is None
    assert "typed-here" not in response.text


def test_delayed_logins_are_recorded(as_ada: Caller, anybody: Caller, alice: Actor) -> None:
    guess = {"username": "alice", "password": "a wrong guess"}
    while anybody.post("/auth/login", json=guess).status_code != 429:
        pass

    delayed = entries(as_ada, alice.user_id)[0]

    assert (delayed["action"], delayed["ip_address"]) == ("login.delayed", "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "details"),
    [
        ("/api/v1/users/me/export", {"what": "account"}),
        ("/api/v1/tasks/export", {"what": "tasks"}),
        ("/api/v1/tasks/export?format=csv", {"what": "tasks"}),
    ],
)
def test_exports_are_recorded(
    path: str, details: dict[str, str], as_ada: Caller, as_alice: Caller, alice: Actor
) -> None:
    assert as_alice.get(path).status_code == 200

    exported = entries(as_ada, alice.user_id)[0]

    assert (exported["action"], exported["details"]) == ("data.exported", details)


def test_changes_of_membership_are_recorded(as_ada: Caller, ada: Actor, alice: Actor, as_alice: Caller) -> None:
    group = as_ada.post("/api/v1/groups", json={"name": "Roofers"}).json()["id"]
    path = f"/api/v1/groups/{group}/members/{alice.user_id}"
    for is_manager in (False, True):
        as_ada.put(path, json={"is_manager": is_manager})
    assert as_alice.delete(path).status_code == 204
    as_ada.put(path, json={})
    as_ada.delete(f"/api/v1/groups/{group}")

    recorded = [(entry["action"], entry["actor_id"], entry["details"]) for entry in entries(as_ada, alice.user_id)[:5]]

    of_group = {"group_id": group}
    assert recorded == [
        ("member.removed", ada.user_id, of_group),
        ("member.put", ada.user_id, of_group | {"is_manager": False}),
        ("member.removed", alice.user_id, of_group),
        ("member.put", ada.user_id, of_group | {"is_manager": True}),
        ("member.put", ada.user_id, of_group | {"is_manager": False}),
    ]
    assert actions(as_ada, ada.user_id)[:2] == ["member.removed", "member.put"]


@pytest.fixture
def three_days(alice: Actor, bob: Actor, ada: Actor, database: None) -> list[int]:
    """The ids of six entries of three days, three of them at the same time, and nothing else in the log."""
    execute("DELETE FROM audit_log")
    rows = execute(
        """
        INSERT INTO audit_log (at, action, actor_id, user_id, ip_address, details)
        VALUES ('2026-05-01T21:59:59Z', 'login.failed',    %(alice)s, %(alice)s, '203.0.113.7', '{}'),
               ('2026-05-01T22:00:00Z', 'login.failed',    %(bob)s,   %(bob)s,   '2001:db8::7', '{}'),
               ('2026-05-02T12:00:00Z', 'login.succeeded', %(alice)s, %(alice)s, '2001:db8::7', '{}'),
               ('2026-05-02T12:00:00Z', 'account.changed', %(ada)s,   %(alice)s, '203.0.113.7', '{}'),
               ('2026-05-02T12:00:00Z', 'login.failed',    %(alice)s, %(alice)s, NULL,          '{}'),
               ('2026-05-02T22:00:00Z', 'login.failed',    NULL,      NULL,      '203.0.113.7', '{}')
        RETURNING id
        """,
        {"alice": alice.user_id, "bob": bob.user_id, "ada": ada.user_id},
    ).fetchall()
    return [row_id for (row_id,) in rows]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [5, 4, 3, 2, 1, 0]),
        ({"action": "login.failed"}, [5, 4, 1, 0]),
        ({"actor_id": "ada"}, [3]),
        ({"user_id": "alice"}, [4, 3, 2, 0]),
        ({"ip_address": "203.0.113.7"}, [5, 3, 0]),
        ({"ip_address": "2001:DB8:0::7"}, [2, 1]),
        ({"at_from": "2026-05-02T12:00:00Z"}, [5, 4, 3, 2]),
        ({"at_to": "2026-05-02T12:00:00Z"}, [4, 3, 2, 1, 0]),
        # These are days in Berlin, where they begin at 22:00 in UTC.
        ({"at_from": "2026-05-02", "at_to": "2026-05-02"}, [4, 3, 2, 1]),
        ({"at_from": "today"}, []),
        ({"action": "login.failed", "user_id": "alice", "at_from": "2026-05-02"}, [4]),
        ({"actor_id": "alice", "ip_address": "2001:db8::7", "action": "login.succeeded"}, [2]),
        ({"actor_id": "bob", "user_id": "alice"}, []),
    ],
)
def test_the_log_is_filtered(
    query: dict[str, str], found: list[int], three_days: list[int], as_ada: Caller, alice: Actor, bob: Actor, ada: Actor
) -> None:
    ids = {"alice": alice.user_id, "bob": bob.user_id, "ada": ada.user_id}
    execute("UPDATE users SET timezone = 'Europe/Berlin' WHERE id = %s", (ada.user_id,))

    page = as_ada.get("/api/v1/audit", params={name: ids.get(value, value) for name, value in query.items()})

    assert [entry["id"] for entry in page.json()["items"]] == [three_days[index] for index in found]
    assert (page.json()["total"], page.headers["X-Total-Count"]) == (len(found), str(len(found)))


def test_pages_by_cursor_neither_skip_nor_repeat_entries(three_days: list[int], as_ada: Caller, alice: Actor) -> None:
    query: dict[str, Any] = {"user_id": alice.user_id, "limit": 1}
    found, totals = [], set()
    while query.get("cursor", "first"):
        page = as_ada.get("/api/v1/audit", params=query).json()
        found += [entry["id"] for entry in page["items"]]
        totals.add(page["total"])
        query["cursor"] = page["next_cursor"]
        # A new entry does not shift the pages that follow.
        as_ada.patch(f"/api/v1/users/{alice.user_id}", json={"role": "manager"})

    assert found == [three_days[index] for index in (4, 3, 2, 0)]
    assert min(totals) == 4


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("action=login.stolen", "action"),
        ("action=", "action"),
        ("actor_id=0", "actor_id"),
        ("actor_id=ada", "actor_id"),
        ("user_id=1e3", "user_id"),
        ("ip_address=203.0.113", "ip_address"),
        ("at_from=2026-05-01T10:00", "at_from"),
        ("at_to=yesterday", "at_to"),
        ("cursor=x", "cursor"),
        ("cursor=WyJ0b2RheSIsIDFd", "cursor"),
        ("cursor=WyIyMDI2LTA1LTAxVDEwOjAwOjAwWiIsICIxIl0=", "cursor"),
        ("cursor=x&skip=1", ""),
        ("on=2026-05-01", "on"),
    ],
)
def test_a_wrong_filter_is_refused(query: str, field: str, as_ada: Caller) -> None:
    assert invalid_fields(as_ada.get(f"/api/v1/audit?{query}")) == [field]


def test_only_admins_read_the_log_also_about_themselves(
    as_alice: Caller, alice: Actor, anybody: Caller, as_ada: Caller
) -> None:
    own = f"/api/v1/audit?user_id={alice.user_id}&action=login.succeeded"

    assert_problem(as_alice.get(own), 403, "admin_required")
    assert_problem(anybody.get(own), 401, "token_missing")
    assert as_ada.get(own).status_code == 200
