"""What people say about the weather: rules, durations and bounds of tasks, rules and working hours of profiles."""

import json
from typing import Any

import pytest

from tests.api.callers import Caller, assert_problem, invalid_fields

TASKS = "/api/v1/tasks"
RULE = {"max_rain_probability": 40.0, "min_temperature": -2.5}
BOUNDS = {"not_before": "2026-05-01T02:00:00+02:00", "not_after": "2026-05-08T00:00:00Z"}
STORED_BOUNDS = {"not_before": "2026-05-01T00:00:00+00:00", "not_after": "2026-05-08T00:00:00+00:00"}
FIELDS = {"duration_minutes": 90, "weather_rule": RULE, "auto_reschedule": BOUNDS}
STORED = FIELDS | {"auto_reschedule": STORED_BOUNDS}
HOURS = {"days": ["mon", "sat"], "from": "07:30", "to": "16:00"}


def sent(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in FIELDS}


class TestTask:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_the_fields_are_stored_kept_and_cleared(self, method: str, as_alice: Caller) -> None:
        task = as_alice.post(TASKS, json={"title": "x"} | FIELDS).json()
        path = f"{TASKS}/{task['id']}"

        kept = as_alice(method, path, json={"title": "y"}).json()
        same = as_alice(method, path, json={"title": "y"} | FIELDS).json()
        cleared = as_alice(method, path, json={"title": "y"} | dict.fromkeys(FIELDS)).json()

        assert [sent(answer) for answer in (task, kept, same)] == [STORED] * 3
        assert (kept["version"], same["version"]) == (2, 2)
        assert sent(cleared) == dict.fromkeys(FIELDS)

    def test_the_history_shows_them(self, as_alice: Caller) -> None:
        path = f"{TASKS}/{as_alice.post(TASKS, json={'title': 'x', 'weather_rule': RULE}).json()['id']}"
        as_alice.patch(path, json={"weather_rule": {"max_wind": 30}, "auto_reschedule": BOUNDS})

        changes = as_alice.get(f"{path}/activity").json()["items"][0]["changes"]

        assert changes == {
            "weather_rule": {"from": RULE, "to": {"max_wind": 30.0}},
            "auto_reschedule": {"from": None, "to": STORED_BOUNDS},
        }

    @pytest.mark.parametrize("rule", [{}, {"max_wind": None}])
    def test_a_rule_without_limits_is_no_rule(self, rule: dict[str, Any], as_alice: Caller) -> None:
        assert as_alice.post(TASKS, json={"title": "x", "weather_rule": rule}).json()["weather_rule"] is None

    def test_bulk_changes_and_imports_take_them(self, as_alice: Caller) -> None:
        task = as_alice.post(TASKS, json={"title": "x"}).json()
        operations = [
            {"op": "create", "task": {"title": "new"} | FIELDS},
            {"op": "update", "id": task["id"], "task": FIELDS},
        ]
        results = as_alice.post(f"{TASKS}/bulk", json={"operations": operations}).json()["results"]
        lines = as_alice.get(f"{TASKS}/export").content
        report = as_alice.post(f"{TASKS}/import", data=lines, headers={"Content-Type": "application/jsonl"}).json()
        listed = as_alice.get(TASKS).json()["items"]

        assert [sent(result["task"]) for result in results] == [STORED, STORED]
        assert (report["created"], [sent(task) for task in listed]) == (2, [STORED] * 4)

    def test_a_table_has_the_duration_but_no_objects(self, as_alice: Caller) -> None:
        as_alice.post(TASKS, json={"title": "x"} | FIELDS)
        table = as_alice.get(f"{TASKS}/export?format=csv").content
        report = as_alice.post(f"{TASKS}/import", data=table, headers={"Content-Type": "text/csv"}).json()
        imported = as_alice.get(TASKS).json()["items"][0]

        assert report["created"] == 1
        assert sent(imported) == {"duration_minutes": 90, "weather_rule": None, "auto_reschedule": None}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"weather_rule": {"min_temperature": 10, "max_temperature": 9.5}}, "weather_rule.max_temperature"),
            ({"weather_rule": {"max_rain_probability": 101}}, "weather_rule.max_rain_probability"),
            ({"weather_rule": {"max_hail": 1}}, "weather_rule.max_hail"),
            ({"weather_rule": "dry"}, "weather_rule"),
            ({"duration_minutes": 0}, "duration_minutes"),
            ({"duration_minutes": 10081}, "duration_minutes"),
            ({"auto_reschedule": {}}, "auto_reschedule.not_after"),
            ({"auto_reschedule": BOUNDS | {"not_after": BOUNDS["not_before"]}}, "auto_reschedule.not_after"),
            ({"weather_state": "ok"}, "weather_state"),
        ],
    )
    def test_the_wrong_field_is_named(self, body: dict[str, Any], field: str, as_alice: Caller) -> None:
        path = f"{TASKS}/{as_alice.post(TASKS, json={'title': 'x'}).json()['id']}"
        in_bulk = {"operations": [{"op": "create", "task": {"title": "x"} | body}]}

        assert invalid_fields(as_alice.post(TASKS, json={"title": "x"} | body)) == [field]
        assert invalid_fields(as_alice.patch(path, json=body)) == [field]
        assert invalid_fields(as_alice.post(f"{TASKS}/bulk", json=in_bulk)) == [f"operations.0.task.{field}"]

    def test_an_assignee_may_set_them_and_a_stranger_may_not(
        self, task: str, as_alice: Caller, as_bob: Caller, as_mallory: Caller
    ) -> None:
        assert_problem(as_mallory.patch(task, json=FIELDS), 403, "task_forbidden")
        assert sent(as_bob.patch(task, json=FIELDS).json()) == STORED
        assert sent(as_alice.get(task).json()) == STORED


class TestProfile:
    def test_the_rule_and_the_hours_are_stored_kept_and_cleared(self, as_alice: Caller) -> None:
        changed = as_alice.patch("/auth/me", json={"weather_rule": RULE, "working_hours": HOURS}).json()
        kept = as_alice.patch("/auth/me", json={"locale": "de"}).json()
        cleared = as_alice.patch("/auth/me", json={"weather_rule": {}, "working_hours": None}).json()

        assert [(profile["weather_rule"], profile["working_hours"]) for profile in (changed, kept, cleared)] == [
            (RULE, HOURS), (RULE, HOURS), (None, None)]  # fmt: skip
        assert as_alice.get("/auth/me").json() == cleared

    def test_they_are_in_the_export_of_the_account(self, as_alice: Caller) -> None:
        as_alice.patch("/auth/me", json={"weather_rule": RULE, "working_hours": HOURS})

        profile = json.loads(as_alice.get("/api/v1/users/me/export").content)["profile"]

        assert (profile["weather_rule"], profile["working_hours"]) == (RULE, HOURS)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"weather_rule": {"min_temperature": 1, "max_temperature": 0}}, "weather_rule.max_temperature"),
            ({"working_hours": HOURS | {"days": []}}, "working_hours.days"),
            ({"working_hours": HOURS | {"days": ["mon", "mon"]}}, "working_hours.days"),
            ({"working_hours": HOURS | {"from": "24:00"}}, "working_hours.from"),
            ({"working_hours": HOURS | {"to": "07:30"}}, "working_hours.to"),
            ({"working_hours": {"days": ["mon"], "from": "07:30"}}, "working_hours.to"),
        ],
    )
    def test_the_wrong_field_is_named(self, body: dict[str, Any], field: str, as_alice: Caller) -> None:
        assert invalid_fields(as_alice.patch("/auth/me", json=body)) == [field]
