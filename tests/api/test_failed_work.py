"""Admins list failed work over HTTP, try it again, and drop it."""

from typing import Any

import pytest

from core.policy import Actor
from core.services.failed_work import MOST_AT_ONCE
from tests.api.callers import Caller, assert_problem, invalid_fields
from tests.failures import failed_account_mail, failed_notification_mail, failed_weather

WORK = "/api/v1/admin/work"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", WORK, None),
        ("POST", f"{WORK}/retry", {"match": {}}),
        ("POST", f"{WORK}/drop", {"match": {}}),
    ],
)
def test_only_admins_see_and_change_failed_work(
    method: str, path: str, body: Any, as_mallory: Caller, as_alice: Caller, alice: Actor, as_ada: Caller
) -> None:
    failed_weather(alice)

    for caller in (as_mallory, as_alice):
        assert_problem(caller(method, path, json=body), 403, "admin_required")
    assert_problem(as_alice.without_token()(method, path, json=body), 401, "token_missing")
    assert as_ada.get(WORK).json()["total"] == 1


def test_failed_work_is_listed_page_by_page(as_ada: Caller, alice: Actor, bob: Actor) -> None:
    failed = [failed_weather(alice), failed_notification_mail(alice, bob), failed_account_mail(alice, given_up=False)]

    first = as_ada.get(f"{WORK}?limit=2")
    second = as_ada.get(WORK, params={"limit": 2, "cursor": first.json()["next_cursor"]}).json()
    waiting = as_ada.get(f"{WORK}?state=waiting").json()

    assert (first.headers["X-Total-Count"], first.json()["total"], second["next_cursor"]) == ("3", 3, None)
    items = first.json()["items"] + second["items"]
    assert [(item["kind"], item["id"]) for item in items] == failed[::-1]
    assert items[2]["reason"] == "the provider responds 500"
    assert [item["kind"] for item in waiting["items"]] == ["account_mail"]


def test_named_work_is_changed_and_the_audit_log_says_by_whom(as_ada: Caller, ada: Actor, alice: Actor) -> None:
    weather, mail = failed_weather(alice), failed_account_mail(alice)

    retried = as_ada.post(
        f"{WORK}/retry", json={"items": [{"kind": "weather", "id": weather.id}, {"kind": "weather", "id": 2**62}]}
    )
    dropped = as_ada.post(f"{WORK}/drop", json={"items": [{"kind": "account_mail", "id": mail.id}]})

    assert retried.json() == {"changed": 1, "items": [{"kind": "weather", "id": weather.id}], "remaining": 0}
    assert dropped.json()["changed"] == 1
    assert as_ada.get(WORK).json()["total"] == 0
    entries = as_ada.get("/api/v1/audit").json()["items"][:2]
    assert [(entry["action"], entry["actor_id"], entry["details"]["work"]) for entry in entries] == [
        ("work.dropped", ada.user_id, {"account_mail": [mail.id]}),
        ("work.retried", ada.user_id, {"weather": [weather.id]}),
    ]


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_all_that_matches_is_changed(action: str, as_ada: Caller, alice: Actor) -> None:
    weather = failed_weather(alice)
    failed_account_mail(alice)

    outcome = as_ada.post(f"{WORK}/{action}", json={"match": {"kind": "weather", "state": "given_up"}}).json()

    assert outcome == {"changed": 1, "items": [{"kind": "weather", "id": weather.id}], "remaining": 0}
    assert [item["kind"] for item in as_ada.get(WORK).json()["items"]] == ["account_mail"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [""]),
        ({"items": [{"kind": "weather", "id": 1}], "match": {}}, [""]),
        ({"items": []}, ["items"]),
        ({"items": [{"kind": "weather", "id": 1}] * (MOST_AT_ONCE + 1)}, ["items"]),
        ({"items": [{"kind": "rain", "id": 0}]}, ["items.0.kind", "items.0.id"]),
        ({"match": {"state": "done"}}, ["match.state"]),
        ({"match": None}, ["match"]),
    ],
)
def test_a_choice_that_is_not_clear_is_refused(body: Any, fields: list[str], as_ada: Caller) -> None:
    assert invalid_fields(as_ada.post(f"{WORK}/retry", json=body)) == fields


@pytest.mark.parametrize(("query", "field"), [("cursor=x", "cursor"), ("cursor=x&skip=1", ""), ("kind=rain", "kind")])
def test_a_wrong_query_is_refused(query: str, field: str, as_ada: Caller) -> None:
    assert invalid_fields(as_ada.get(f"{WORK}?{query}")) == [field]
