"""Every cell of the tables in docs/permissions.md, checked with real requests over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from core.db import unit_of_work
from core.models.account_mail import AccountLink
from core.policy import Actor, Role
from core.security import TokenIssuer
from core.services import account_links, groups, password_resets
from tests.api.callers import Caller
from tests.builders import PASSWORD, create_actor, create_group, create_task
from tests.forecasts import create_place, fine_forecast
from tests.sql import execute
from tests.tables import cells_of

DOCUMENT = "docs/permissions.md"
V1 = "/api/v1"


@dataclass(frozen=True)
class Scene:
    """A task of a group with a comment, a reminder and an attachment, and a client for each role in the tables."""

    callers: dict[str, Caller]
    actors: dict[str, Actor]
    group_id: int
    task_id: int
    comment_id: int
    reminder_id: int
    attachment_id: int
    issuer: TokenIssuer

    @property
    def task(self) -> str:
        return f"{V1}/tasks/{self.task_id}"

    @property
    def group(self) -> str:
        return f"{V1}/groups/{self.group_id}"

    def verification_token(self) -> str:
        """Make the token of a link that was mailed to the owner."""
        with unit_of_work():
            link_id = account_links.begin(
                self.actors["owner"].user_id, account_links.VERIFY_EMAIL, "alice@example.com", timedelta(hours=1)
            )
        link = AccountLink.get_by_id(link_id)
        return self.issuer.link_token(link_id, link.purpose, bytes(link.nonce))


@pytest.fixture
def scene(alice: Actor, bob: Actor, ada: Actor, caller_for: Callable[[Actor], Caller], issuer: TokenIssuer) -> Scene:
    member, head, stranger = create_actor("carol"), create_actor("dave"), create_actor("mallory", Role.MANAGER)
    group_id = create_group(ada)
    for actor, is_manager in ((alice, False), (member, False), (head, True)):
        groups.put_member(ada, group_id, actor.user_id, is_manager=is_manager)
    groups.remove_member(ada, group_id, ada.user_id)
    task_id = create_task(alice, assignee_id=bob.user_id, group_id=group_id)
    actors = {
        "owner": alice,
        "assignee": bob,
        "group member": member,
        "member": member,
        "group manager": head,
        "manager of it": head,
        "stranger": stranger,
        "admin": ada,
        "user": bob,
        "manager": stranger,
    }
    callers = {name: caller_for(actor) for name, actor in actors.items()}
    task = f"{V1}/tasks/{task_id}"
    owner = callers["owner"]
    # The author of the comment and of the attachment is none of the tested users.
    comment_id = owner.post(f"{task}/comments", json={"body": "x"}).json()["id"]
    reminder_id = owner.post(f"{task}/reminders", json={"remind_at": "2096-01-01T00:00:00Z"}).json()["id"]
    attachment_id = owner.post(f"{task}/attachments", files={"file": ("x.txt", b"x")}).json()["id"]
    other = create_actor("somebody else")
    with unit_of_work():
        execute("UPDATE comments SET user_id = %s", (other.user_id,))
        execute("UPDATE attachments SET user_id = %s", (other.user_id,))
    return Scene(callers, actors, group_id, task_id, comment_id, reminder_id, attachment_id, issuer)


def listed(caller: Caller, scene: Scene) -> requests.Response:
    response = caller.get(f"{V1}/tasks")
    if scene.task_id not in [task["id"] for task in response.json()["items"]]:
        response.reason = "hidden"
    return response


def hears_event(_caller: Caller, scene: Scene, who: str) -> str:
    (audience,) = execute(
        "SELECT audience FROM events WHERE task_id = %s ORDER BY id DESC LIMIT 1", (scene.task_id,)
    ).fetchone()
    actor = scene.actors[who]
    return "yes" if actor.is_admin or actor.user_id in audience else "hidden"


def figures(caller: Caller, _scene: Scene, who: str) -> str:
    """Return whether this user sees everyone's figures. Only Alice has a task."""
    by_user = caller.get(f"{V1}/analytics").json()["by_user"]
    return "yes" if who == "admin" and by_user == {"alice": 1} else "no"


def moved(caller: Caller, scene: Scene) -> requests.Response:
    """Move the task to a time of tomorrow, on which the weather is fine."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    place_id = create_place(forecast=fine_forecast(tomorrow, 24))
    with unit_of_work():
        execute("UPDATE tasks SET place_id = %s WHERE id = %s", (place_id, scene.task_id))
    return caller.post(f"{scene.task}/reschedule", json={"starts_at": tomorrow.isoformat()})


TASK_ACTIONS: dict[str, Callable[[Caller, Scene], requests.Response]] = {
    "read task": lambda caller, scene: caller.get(scene.task),
    "list task": listed,
    "update task": lambda caller, scene: caller.patch(scene.task, json={"title": "y"}),
    "find better times of task": lambda caller, scene: caller.get(f"{scene.task}/better-times"),
    "move task to a better time": moved,
    "comment on task": lambda caller, scene: caller.post(f"{scene.task}/comments", json={"body": "y"}),
    "set and take back reminders of task": lambda caller, scene: caller.delete(
        f"{scene.task}/reminders/{scene.reminder_id}"
    ),
    "assign task": lambda caller, scene: caller.patch(scene.task, json={"assignee_id": None}),
    "delegate task": lambda caller, scene: caller.post(
        f"{scene.task}/delegate", json={"assignee_id": scene.actors["group member"].user_id}
    ),
    "delete task": lambda caller, scene: caller.delete(scene.task),
    "delete others' comments on task": lambda caller, scene: caller.delete(f"{scene.task}/comments/{scene.comment_id}"),
    "delete attachment of another": lambda caller, scene: caller.delete(
        f"{scene.task}/attachments/{scene.attachment_id}"
    ),
    "administer accounts": lambda caller, _: caller.get(f"{V1}/users"),
}


@pytest.mark.parametrize(
    ("action", "who", "expected"), cells_of(DOCUMENT, first_column="action", second_column="owner")
)
def test_permissions_on_a_task(action: str, who: str, expected: str, scene: Scene) -> None:
    caller = scene.callers[who]
    match action:
        case "hear events of task":
            assert hears_event(caller, scene, who) == expected
        case "see everyone's analytics":
            assert figures(caller, scene, who) == expected
        case _:
            assert meaning_of(TASK_ACTIONS[action](caller, scene)) == expected


GROUP_ACTIONS: dict[str, Callable[[Caller, Scene], list[requests.Response]]] = {
    "invite into group": lambda caller, scene: [invited(caller, group_id=scene.group_id)],
    "read group": lambda caller, scene: [caller.get(scene.group)],
    "rename, delete group, say who belongs to it": lambda caller, scene: [
        caller.patch(scene.group, json={"name": "y"}),
        caller.put(f"{scene.group}/members/{scene.actors['assignee'].user_id}"),
        caller.delete(f"{scene.group}/members/{scene.actors['assignee'].user_id}"),
        caller.delete(scene.group),
    ],
}


@pytest.mark.parametrize(
    ("action", "who", "expected"), cells_of(DOCUMENT, first_column="group action", second_column="member")
)
def test_permissions_on_a_group(action: str, who: str, expected: str, scene: Scene) -> None:
    assert {meaning_of(response) for response in GROUP_ACTIONS[action](scene.callers[who], scene)} == {expected}


def invited(caller: Caller, **fields: Any) -> requests.Response:
    return caller.post(f"{V1}/invitations", json={"email": "newcomer@example.com"} | fields)


def accepted(caller: Caller, scene: Scene) -> requests.Response:
    email = caller.get(f"{V1}/auth/me").json().get("email", "newcomer@example.com")
    token = invited(scene.callers["admin"], email=email).json()["token"]
    return caller.post(f"{V1}/invitations/accept", json={"token": token})


def invited_into_group(scene: Scene) -> int:
    invitation: int = invited(scene.callers["group manager"], group_id=scene.group_id).json()["id"]
    return invitation


def taken_back(caller: Caller, scene: Scene) -> requests.Response:
    groups.put_member(scene.actors["admin"], scene.group_id, scene.actors["owner"].user_id, is_manager=True)
    invitation = invited(scene.callers["owner"], group_id=scene.group_id).json()
    return caller.delete(f"{V1}/invitations/{invitation['id']}")


def name_of(caller: Caller, actor: Actor) -> requests.Response:
    return caller.get(f"/user/{actor.user_id}/")


def logged_in(caller: Caller, scene: Scene) -> list[requests.Response]:
    account = {"username": "newcomer", "password": PASSWORD}
    registered = caller.post(f"{V1}/auth/register", json=account)
    grant = caller.post(f"{V1}/auth/login", json=account)
    return [registered, grant, caller.post(f"{V1}/auth/refresh", json={"refresh_token": grant.json()["refresh_token"]})]


def printed_token(scene: Scene) -> str:
    token = password_resets.make_token("alice", scene.issuer)
    assert token is not None
    return token


OTHER_ACTIONS: dict[str, Callable[[Caller, Scene], list[requests.Response]]] = {
    "register, log in, refresh": logged_in,
    "ask for a link for a new password, and use it": lambda caller, scene: [
        caller.post(f"{V1}/auth/password/forgot", json={"email": "owner@example.com"}),
        caller.post(
            f"{V1}/auth/password/reset", json={"token": printed_token(scene), "password": "an even better one"}
        ),
    ],
    "health, documents": lambda caller, _: [caller.get("/health"), caller.get("/openapi.json"), caller.get("/docs")],
    "create tasks of one's own, export and import them": lambda caller, _: [
        caller.post(f"{V1}/tasks", json={"title": "x"}),
        caller.get(f"{V1}/tasks/export"),
        caller.post(f"{V1}/tasks/import", data=b"", headers={"Content-Type": "application/x-ndjson"}),
    ],
    "read and change one's own profile": lambda caller, _: [
        caller.get(f"{V1}/auth/me"),
        caller.patch(f"{V1}/auth/me", json={"full_name": "x"}),
    ],
    "list and end one's own sessions": lambda caller, _: [
        caller.get(f"{V1}/auth/sessions"),
        caller.post(f"{V1}/auth/logout"),
    ],
    "end somebody else's session": lambda caller, scene: [
        caller.delete(f"{V1}/auth/sessions/{scene.actors['owner'].session_id}")
    ],
    "invite people to register": lambda caller, _: [invited(caller)],
    "list one's own invitations": lambda caller, _: [caller.get(f"{V1}/invitations")],
    "accept an invitation of one's own email": lambda caller, scene: [accepted(caller, scene)],
    "list the invitations that one has received": lambda caller, _: [caller.get(f"{V1}/invitations/received")],
    "accept an invitation that another address has received": lambda caller, scene: [
        caller.post(f"{V1}/invitations/received/{invited_into_group(scene)}/accept")
    ],
    "take back somebody else's invitation": lambda caller, scene: [taken_back(caller, scene)],
    "make groups": lambda caller, _: [caller.post(f"{V1}/groups", json={"name": "x"})],
    "read and mark one's own notifications, choose which come by mail": lambda caller, _: [
        caller.get(f"{V1}/notifications"),
        caller.post(f"{V1}/notifications/read_all"),
        caller.patch(f"{V1}/notifications/preferences", json={"overdue": False}),
    ],
    "end a kind of mail with the link in it": lambda caller, scene: [
        caller.post(
            f"{V1}/notifications/unsubscribe",
            params={"token": scene.issuer.unsubscribe_token(scene.actors["owner"].user_id, "assigned")},
        )
    ],
    "confirm an email with the link of a mail": lambda caller, scene: [
        caller.post(f"{V1}/auth/email/verify", json={"token": scene.verification_token()})
    ],
    "search places": lambda caller, _: [caller.get(f"{V1}/places?q=Oslo")],
    "see the state of the installation": lambda caller, _: [
        caller.get(f"{V1}/admin/operations"),
        caller.get(f"{V1}/admin/operations/series"),
    ],
    "list failed work, try it again and drop it": lambda caller, _: [
        caller.get(f"{V1}/admin/work"),
        caller.post(f"{V1}/admin/work/retry", json={"match": {}}),
        caller.post(f"{V1}/admin/work/drop", json={"match": {}}),
    ],
    "give feedback": lambda caller, _: [caller.post(f"{V1}/feedback", json={"rating": 5})],
    "read feedback": lambda caller, _: [caller.get(f"{V1}/feedback")],
    "see the name of somebody with whom one shares a task": lambda caller, scene: [
        name_of(caller, scene.actors["owner"])
    ],
    "see the name of any other account": lambda caller, scene: [name_of(caller, scene.actors["group member"])],
}


@pytest.mark.parametrize(
    ("action", "who", "expected"), cells_of(DOCUMENT, first_column="action", second_column="nobody")
)
def test_other_permissions(action: str, who: str, expected: str, scene: Scene, anybody: Caller) -> None:
    caller = anybody if who == "nobody" else scene.callers[who]
    if "shares a task" in action and who != "nobody":
        share_a_task(scene, who)

    assert {meaning_of(response) for response in OTHER_ACTIONS[action](caller, scene)} == {expected}


def share_a_task(scene: Scene, who: str) -> None:
    create_task(scene.actors["owner"], title="shared", assignee_id=scene.actors[who].user_id)


def meaning_of(response: Any) -> str:
    """Return the word that the tables use for this response."""
    if response.reason == "hidden":
        return "hidden"
    return "yes" if response.ok else str(response.status_code)
