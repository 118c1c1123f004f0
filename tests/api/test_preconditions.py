"""Entity tags: `If-Match` with another version is refused, and `If-None-Match` with this version gets 304."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.api.callers import TASKS, Caller, assert_problem, create_task
from tests.forecasts import create_place, store_hours
from tests.sql import execute


def test_the_etag_is_the_version(as_alice: Caller) -> None:
    created = as_alice.post(TASKS, json={"title": "x"})
    path = f"{TASKS}/{created.json()['id']}"
    changed = as_alice.patch(path, json={"title": "y"})

    assert created.headers["ETag"] == '"1"'
    assert changed.headers["ETag"] == '"2"'
    assert as_alice.get(path).headers["ETag"] == '"2"'
    assert as_alice.put(path, json={"title": "z"}).headers["ETag"] == '"3"'


@pytest.mark.parametrize(
    ("tag", "status"), [('"1"', 304), ('W/"1"', 304), ("*", 304), ('"7", "1"', 304), ('"2"', 200), ("1x", 200)]
)
def test_if_none_match_with_the_current_version_gets_304(tag: str, status: int, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"

    response = as_alice.get(path, headers={"If-None-Match": tag})

    assert response.status_code == status
    assert bool(response.content) == (status == 200)
    assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize(
    "tag",
    [
        '"1"',
        '"3"',
        '"1-0123456789abcdef"',
        '"2-0123456789abcdeg"',
        'W/"2"',
        "nonsense",
        '"x"',
        '""',
        '"' + "9" * 5000 + '"',
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_if_match_with_another_version_is_refused(method: str, tag: str, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"
    as_alice.patch(path, json={"title": "the second"})
    body = {} if method == "DELETE" else {"json": {"title": "lost update"}}

    assert_problem(as_alice(method, path, headers={"If-Match": tag}, **body), 412, "version_mismatch")

    assert as_alice.get(path).json()["title"] == "the second"


@pytest.mark.parametrize("tag", ['"2"', "*", '"1", "2"', '"2-0123456789abcdef"'])
def test_if_match_with_the_current_version_is_accepted(tag: str, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"
    as_alice.patch(path, json={"title": "the second"})

    assert as_alice.patch(path, json={"title": "the third"}, headers={"If-Match": tag}).status_code == 200
    assert as_alice.delete(path, headers={"If-Match": '"3"'}).status_code == 204


def test_a_new_forecast_changes_the_tag_but_refuses_no_change(as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice, due_at=(datetime.now(UTC) + timedelta(hours=5)).isoformat())['id']}"
    store_forecast_for(path, temperature=11)
    before = as_alice.get(path).headers["ETag"]
    known = as_alice.get(path, headers={"If-None-Match": before})
    store_forecast_for(path, temperature=12)
    after = as_alice.get(path, headers={"If-None-Match": before})

    assert before.startswith('"1-')
    assert (known.status_code, after.status_code) == (304, 200)
    assert after.json()["forecast"]["temperature"] == 12
    assert after.headers["ETag"] != before
    assert as_alice.patch(path, json={"title": "y"}, headers={"If-Match": before}).status_code == 200


def store_forecast_for(path: str, *, temperature: float) -> None:
    """Give the task of a path a place with this forecast."""
    place_id = create_place("Oslo")
    store_hours(place_id, temperature=temperature)
    execute("UPDATE tasks SET place_id = %s WHERE id = %s", (place_id, path.rpartition("/")[2]))


def test_only_one_of_two_parallel_changes_of_a_version_succeeds(as_alice: Caller, as_ada: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"

    with ThreadPoolExecutor(2) as pool:
        responses = list(
            pool.map(
                lambda caller: caller.patch(path, json={"title": "mine"}, headers={"If-Match": '"1"'}),
                [as_alice, as_ada],
            )
        )

    statuses = sorted(response.status_code for response in responses)
    # The second request is refused although the title already has the value that it asks for.
    assert statuses == [200, 412]
