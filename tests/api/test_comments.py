"""Comments, over HTTP."""

import pytest

from core import events
from core.policy import Actor
from tests.api.callers import Caller, assert_problem, create_task_at, id_in, invalid_fields
from tests.recorded import recorded_events


def add_comment(caller: Caller, task: str, body: str = "The ladder is in the shed.") -> str:
    response = caller.post(f"{task}/comments", json={"body": body})
    assert response.status_code == 201, response.text
    return f"{task}/comments/{response.json()['id']}"


def test_a_created_comment_has_its_fields_and_location(task: str, as_bob: Caller, bob: Actor) -> None:
    response = as_bob.post(f"{task}/comments", json={"body": "  Лестница 🪜 im Schuppen\n"})

    comment = response.json()
    assert response.status_code == 201
    assert response.headers["Location"].endswith(f"{task}/comments/{comment['id']}")
    assert list(comment) == "id task_id user_id body created_at updated_at".split()
    assert (comment["task_id"], comment["user_id"]) == (id_in(task), bob.user_id)
    assert comment["body"] == "Лестница 🪜 im Schuppen"
    assert as_bob.get(f"{task}/comments").json()["items"] == [comment]


@pytest.mark.parametrize("body", ["", " \n", "x" * 5001, "nul\x00", None, 7])
def test_a_bad_text_is_refused(body: object, task: str, as_bob: Caller) -> None:
    comment = add_comment(as_bob, task, "x" * 5000)

    assert invalid_fields(as_bob.post(f"{task}/comments", json={"body": body})) == ["body"]
    assert invalid_fields(as_bob.patch(comment, json={"body": body})) == ["body"]


def test_a_comment_event_contains_the_task_and_the_comment(task: str, as_bob: Caller, alice: Actor, bob: Actor) -> None:
    comment = add_comment(as_bob, task, 'He comment_data: "tomorrow", \\o/')

    ((_, actor_id, audience, data),) = recorded_events(id_in(task), kind=events.TASK_COMMENTED)
    assert (actor_id, audience) == (bob.user_id, [alice.user_id, bob.user_id])
    comment_data = {"id": id_in(comment), "user_id": bob.user_id, "body": 'He comment_data: "tomorrow", \\o/'}
    assert data == as_bob.get(task).json() | {"comment": comment_data}


def test_pages_list_the_oldest_comments_first(task: str, as_alice: Caller, as_bob: Caller) -> None:
    for number in range(5):
        add_comment((as_alice, as_bob)[number % 2], task, str(number))
    add_comment(as_alice, create_task_at(as_alice), "elsewhere")

    pages = [as_bob.get(f"{task}/comments?skip={skip}&limit=2") for skip in (0, 2, 4, 6)]

    bodies = [[comment["body"] for comment in page.json()["items"]] for page in pages]
    assert bodies == [["0", "1"], ["2", "3"], ["4"], []]
    assert {(page.json()["total"], page.headers["X-Total-Count"]) for page in pages} == {(5, "5")}
    assert invalid_fields(as_bob.get(f"{task}/comments?limit=0")) == ["limit"]


def test_only_the_author_changes_a_comment(task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller) -> None:
    comment = add_comment(as_bob, task, "Tomorrow")
    before = as_bob.get(f"{task}/comments").json()["items"][0]

    assert_problem(as_alice.patch(comment, json={"body": "Never"}), 403, "comment_forbidden")
    assert_problem(as_ada.patch(comment, json={"body": "Never"}), 403, "comment_forbidden")
    changed = as_bob.patch(comment, json={"body": "Today"}).json()

    assert changed["updated_at"] > before["updated_at"]
    assert changed == before | {"body": "Today", "updated_at": changed["updated_at"]}
    assert as_alice.get(f"{task}/comments").json()["items"] == [changed]


def test_the_author_the_task_owner_and_admins_delete_a_comment(
    task: str, as_bob: Caller, as_alice: Caller, as_ada: Caller
) -> None:
    owners = add_comment(as_alice, task)
    comments = [add_comment(as_bob, task) for _ in range(3)]

    assert_problem(as_bob.delete(owners), 403, "comment_forbidden")
    for caller, comment in zip((as_bob, as_alice, as_ada), comments, strict=True):
        assert caller.delete(comment).status_code == 204
        assert_problem(caller.delete(comment), 404, "comment_not_found")
        assert_problem(as_bob.patch(comment, json={"body": "x"}), 404, "comment_not_found")
    assert as_bob.get(f"{task}/comments").json()["total"] == 1


def test_a_former_assignee_cannot_change_or_delete_their_comment(task: str, as_bob: Caller, as_alice: Caller) -> None:
    comment = add_comment(as_bob, task)
    as_alice.patch(task, json={"assignee_id": None})

    assert_problem(as_bob.patch(comment, json={"body": "x"}), 403, "task_forbidden")
    assert_problem(as_bob.delete(comment), 403, "task_forbidden")


def test_a_comment_is_not_found_under_another_task(task: str, as_alice: Caller) -> None:
    comment = add_comment(as_alice, task)
    elsewhere = f"{create_task_at(as_alice)}/comments/{id_in(comment)}"

    assert_problem(as_alice.patch(elsewhere, json={"body": "x"}), 404, "comment_not_found")
    assert_problem(as_alice.delete(elsewhere), 404, "comment_not_found")
    assert as_alice.get(f"{task}/comments").json()["total"] == 1


def test_a_repeated_request_creates_one_comment(task: str, as_bob: Caller) -> None:
    request = {"json": {"body": "Once"}, "headers": {"Idempotency-Key": "once"}}

    first, second = (as_bob.post(f"{task}/comments", **request) for _ in range(2))

    assert (first.json(), second.headers["Idempotency-Replayed"]) == (second.json(), "true")
    assert as_bob.get(f"{task}/comments").json()["total"] == 1
    assert len(recorded_events(id_in(task), kind=events.TASK_COMMENTED)) == 1
