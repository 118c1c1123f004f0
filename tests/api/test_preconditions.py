"""Entity tags: who has seen another version changes nothing, and what a client has is not sent again."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.callers import TASKS, Caller, assert_problem, create_task


def test_the_tag_is_the_version(as_alice: Caller) -> None:
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
def test_what_the_client_has_is_not_sent_again(tag: str, status: int, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"

    response = as_alice.get(path, headers={"If-None-Match": tag})

    assert response.status_code == status
    assert bool(response.content) == (status == 200)
    assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize("tag", ['"1"', '"3"', 'W/"2"', "nonsense", '"x"', '""', '"' + "9" * 5000 + '"'])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_who_has_seen_another_version_changes_nothing(method: str, tag: str, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"
    as_alice.patch(path, json={"title": "the second"})
    body = {} if method == "DELETE" else {"json": {"title": "lost update"}}

    assert_problem(as_alice(method, path, headers={"If-Match": tag}, **body), 412, "version_mismatch")

    assert as_alice.get(path).json()["title"] == "the second"


@pytest.mark.parametrize("tag", ['"2"', "*", '"1", "2"'])
def test_who_has_seen_this_version_changes_it(tag: str, as_alice: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"
    as_alice.patch(path, json={"title": "the second"})

    assert as_alice.patch(path, json={"title": "the third"}, headers={"If-Match": tag}).status_code == 200
    assert as_alice.delete(path, headers={"If-Match": '"3"'}).status_code == 204


def test_of_two_who_saw_the_same_version_one_wins(as_alice: Caller, as_ada: Caller) -> None:
    path = f"{TASKS}/{create_task(as_alice)['id']}"

    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda caller: caller.patch(path, json={"title": "mine"}, headers={"If-Match": '"1"'}),
                [as_alice, as_ada],
            )
        )

    statuses = sorted(answer.status_code for answer in answers)
    # The second may also come when the title has become what it wants: then it has lost all the same.
    assert statuses == [200, 412]
