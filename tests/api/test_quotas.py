"""Quotas: at the limit, over it, after a deletion, for others, in bulk and imports, and when requests come together."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from requests import Response

from api.app import create_app
from core.config import Settings
from core.policy import Actor, Role
from core.security import TokenIssuer
from core.services import analytics
from tests.api.callers import TASKS, Caller, LiveServer, assert_problem, callers_of
from tests.builders import create_actor
from tests.sql import execute
from tests.threads import in_parallel

QUOTA = 3
GROUPS = "/api/v1/groups"
TOKENS = "/api/v1/auth/tokens"
MANY = 8

Post = Callable[[Caller], Response]


@pytest.fixture(scope="module")
def client(settings: Settings, issuer: TokenIssuer) -> Iterator[Callable[[Actor], Caller]]:
    """Return a function that makes clients for a server with small quotas."""
    names = ("tasks_per_user", "groups_per_user", "tokens_per_user", "comments_per_user")
    with LiveServer(create_app(settings.model_copy(update=dict.fromkeys(names, QUOTA)))) as server:
        yield callers_of(server, issuer)


@pytest.fixture
def manager(database: None) -> Actor:
    return create_actor("max", Role.MANAGER)


def post_task(caller: Caller) -> Response:
    return caller.post(TASKS, json={"title": "x"})


def post_earlier_task(caller: Caller) -> Response:
    return caller.post("/task/tasks/", json={"title": "x"})


def post_group(caller: Caller) -> Response:
    return caller.post(GROUPS, json={"name": "Roofers"})


def post_token(caller: Caller) -> Response:
    return caller.post(TOKENS, json={"name": "a program", "scopes": ["tasks:read"]})


def fill(caller: Caller, post: Post) -> list[int]:
    made = [post(caller) for _ in range(QUOTA)]
    assert [response.status_code for response in made] == [201] * QUOTA
    return [response.json()["id"] for response in made]


@pytest.mark.parametrize(
    ("post", "item"),
    [(post_task, TASKS), (post_earlier_task, TASKS), (post_group, GROUPS), (post_token, TOKENS)],
)
def test_one_more_is_refused_until_one_is_deleted(post: Post, item: str, client: Any, manager: Actor) -> None:
    caller = client(manager)
    first, *_ = fill(caller, post)

    problem = assert_problem(post(caller), 413, "quota_exceeded")
    assert str(QUOTA) in problem["detail"]
    assert caller.delete(f"{item}/{first}").status_code == 204
    assert post(caller).status_code == 201
    assert_problem(post(caller), 413, "quota_exceeded")


@pytest.mark.parametrize("post", [post_task, post_group, post_token])
def test_others_have_quotas_of_their_own(post: Post, client: Any, manager: Actor, ada: Actor) -> None:
    fill(client(manager), post)

    fill(client(ada), post)


@pytest.mark.parametrize(("post", "path"), [(post_group, GROUPS), (post_token, TOKENS)])
def test_simultaneous_requests_do_not_exceed_the_quota_of_groups_and_tokens(
    post: Post, path: str, client: Any, manager: Actor
) -> None:
    statuses = in_parallel(lambda _: post(client(manager)).status_code, MANY)

    assert sorted(statuses) == [201] * QUOTA + [413] * (MANY - QUOTA)
    listed = client(manager).get(path).json()
    assert len(listed if path == TOKENS else listed["items"]) == QUOTA


def test_simultaneous_requests_exceed_the_quota_of_tasks_at_most_by_themselves(client: Any, alice: Actor) -> None:
    in_parallel(lambda _: post_task(client(alice)), MANY)

    assert QUOTA <= execute("SELECT count(*) FROM tasks").fetchone()[0] <= MANY
    assert_problem(post_task(client(alice)), 413, "quota_exceeded")


def test_tasks_count_whether_their_deltas_are_folded_or_not(client: Any, alice: Actor) -> None:
    caller = client(alice)
    first, second, _ = fill(caller, post_task)
    while analytics.fold():
        pass

    assert_problem(post_task(caller), 413, "quota_exceeded")
    caller.patch(f"{TASKS}/{second}", json={"status": "done"})
    assert_problem(post_task(caller), 413, "quota_exceeded")
    caller.delete(f"{TASKS}/{first}")
    assert post_task(caller).status_code == 201


def test_a_task_that_is_assigned_counts_for_its_owner_only(client: Any, alice: Actor, bob: Actor) -> None:
    for _ in range(QUOTA):
        response = client(alice).post(TASKS, json={"title": "x", "assignee_id": bob.user_id})
        assert response.status_code == 201

    assert post_task(client(bob)).status_code == 201


def test_a_group_counts_for_its_maker_and_not_for_other_managers(client: Any, manager: Actor, ada: Actor) -> None:
    """Otherwise somebody could use up the quota of another by making them manager of many groups."""
    for group_id in fill(client(ada), post_group):
        client(ada).put(f"{GROUPS}/{group_id}/members/{manager.user_id}", json={"is_manager": True})

    assert post_group(client(manager)).status_code == 201
    assert_problem(post_group(client(ada)), 413, "quota_exceeded")


def test_comments_count_for_their_author_on_all_tasks(client: Any, alice: Actor, bob: Actor) -> None:
    tasks = [client(alice).post(TASKS, json={"title": "x", "assignee_id": bob.user_id}).json()["id"] for _ in range(2)]

    def comment(actor: Actor, task: int) -> Response:
        response: Response = client(actor).post(f"{TASKS}/{task}/comments", json={"body": "x"})
        return response

    made = [comment(alice, task) for task in (tasks[0], tasks[1], tasks[0])]
    assert_problem(comment(alice, tasks[1]), 413, "quota_exceeded")
    assert comment(bob, tasks[0]).status_code == 201
    client(alice).delete(f"{TASKS}/{tasks[0]}/comments/{made[0].json()['id']}")
    assert comment(alice, tasks[1]).status_code == 201


class TestManyTasks:
    """In one request each task succeeds or fails by itself, or all together, as without quotas."""

    def operations(self, *kinds: str, task_id: int = 0) -> list[dict[str, Any]]:
        made = {
            "create": {"op": "create", "task": {"title": "x"}},
            "delete": {"op": "delete", "id": task_id},
        }
        return [made[kind] for kind in kinds]

    def test_bulk_creates_what_fits(self, client: Any, alice: Actor) -> None:
        caller = client(alice)
        response = caller.post(f"{TASKS}/bulk", json={"operations": self.operations(*["create"] * (QUOTA + 2))})

        results = response.json()["results"]
        assert [result["status"] for result in results] == [201] * QUOTA + [413] * 2
        assert results[-1]["problem"]["code"] == "quota_exceeded"
        assert caller.get(TASKS).json()["total"] == QUOTA

    def test_a_deletion_before_it_makes_room_in_the_same_request(self, client: Any, alice: Actor) -> None:
        caller = client(alice)
        first, *_ = fill(caller, post_task)
        operations = self.operations("create", "delete", "create", task_id=first)

        results = caller.post(f"{TASKS}/bulk", json={"operations": operations}).json()["results"]

        assert [result["status"] for result in results] == [413, 200, 201]

    def test_an_atomic_bulk_over_the_quota_creates_nothing(self, client: Any, alice: Actor) -> None:
        caller = client(alice)
        body = {"atomic": True, "operations": self.operations(*["create"] * (QUOTA + 1))}

        problem = assert_problem(caller.post(f"{TASKS}/bulk", json=body), 413, "quota_exceeded")

        assert problem["operation"] == QUOTA
        assert caller.get(TASKS).json()["total"] == 0

    def test_an_import_creates_what_fits_and_reports_the_other_lines(self, client: Any, alice: Actor) -> None:
        caller = client(alice)
        response = caller.post(
            f"{TASKS}/import",
            data=b'{"title": "x"}\n' * (QUOTA + 2),
            headers={"Content-Type": "application/x-ndjson"},
        )

        report = response.json()
        assert (report["created"], report["failed"]) == (QUOTA, 2)
        assert [error["line"] for error in report["errors"]] == [QUOTA + 1, QUOTA + 2]
        assert caller.get(TASKS).json()["total"] == QUOTA
