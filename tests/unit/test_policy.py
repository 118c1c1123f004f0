"""Permissions: the rules of the policy, and their agreement with the tables in `docs/permissions.md`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.policy import (
    Actor,
    GroupAccess,
    Role,
    Scope,
    TaskAccess,
    may_administer,
    may_assign_task,
    may_change_comment,
    may_create_group,
    may_delegate_task,
    may_delete_attachment,
    may_delete_comment,
    may_delete_task,
    may_invite,
    may_manage_group,
    may_read_group,
    may_read_task,
    may_see_account,
    may_see_email,
    may_update_task,
    missing_scope,
    sees_all_analytics,
)

ALICE, BOB, MALLORY, ADA = (
    Actor(10, Role.USER, 1),
    Actor(20, Role.USER, 2),
    Actor(30, Role.MANAGER, 3),
    Actor(40, Role.ADMIN, 4),
)
# Accounts that were registered before, between and after Alice and Bob, so their ids are lower or higher.
STRANGERS = [Actor(user_id, Role.USER, 5) for user_id in (5, 15, 25)]
ALICES_TASK_FOR_BOB = TaskAccess(owner_id=ALICE.user_id, assignee_id=BOB.user_id)
Rule = Callable[[Actor, TaskAccess], bool]


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (may_read_task, [ALICE, BOB, ADA]),
        (may_update_task, [ALICE, BOB, ADA]),
        (may_assign_task, [ALICE, ADA]),
        (may_delete_task, [ALICE, ADA]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_task_rule_allows_only_the_listed_users(rule: Rule, allowed: list[Actor]) -> None:
    assert [actor for actor in (ALICE, BOB, MALLORY, ADA) if rule(actor, ALICES_TASK_FOR_BOB)] == allowed


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda stranger: str(stranger.user_id))
def test_a_stranger_may_do_nothing(stranger: Actor) -> None:
    assert [name for name, rule in TASK_RULES.items() if rule(stranger, ALICES_TASK_FOR_BOB)] == []
    assert not may_change_comment(stranger, BOB.user_id)
    assert not may_delete_comment(stranger, ALICES_TASK_FOR_BOB, BOB.user_id)
    assert not may_see_account(stranger, ALICE.user_id, shares_task=False)
    assert not may_see_email(stranger, ALICE.user_id)
    assert not may_create_group(stranger)


def test_the_author_of_a_comment_changes_and_deletes_it() -> None:
    everybody = (ALICE, BOB, MALLORY, ADA)

    assert [who for who in everybody if may_change_comment(who, BOB.user_id)] == [BOB]
    assert [who for who in everybody if may_delete_comment(who, ALICES_TASK_FOR_BOB, BOB.user_id)] == [ALICE, BOB, ADA]


def test_an_email_is_seen_by_its_owner_and_admins() -> None:
    assert [who for who in (ALICE, BOB, MALLORY, ADA) if may_see_email(who, ALICE.user_id)] == [ALICE, ADA]


def test_a_login_has_all_scopes_and_a_token_only_its_own() -> None:
    token = replace(ALICE, scopes=frozenset({Scope.TASKS_READ}))

    assert not any(missing_scope(ALICE, scope) for scope in Scope)
    assert [scope for scope in Scope if not missing_scope(token, scope)] == [Scope.TASKS_READ]


@pytest.mark.parametrize(
    ("role", "scopes", "is_admin"),
    [
        (Role.ADMIN, None, True),
        (Role.ADMIN, frozenset({Scope.ADMIN}), True),
        (Role.ADMIN, frozenset({Scope.TASKS_READ}), False),
        (Role.ADMIN, frozenset(), False),
        (Role.MANAGER, None, False),
        (Role.USER, frozenset({Scope.ADMIN}), False),
    ],
)
def test_an_admin_needs_a_login_or_the_scope(role: Role, scopes: frozenset[str] | None, is_admin: bool) -> None:
    assert Actor(1, role, 1, scopes).is_admin is is_admin


def test_an_attachment_is_deleted_by_its_uploader_the_owner_and_admins() -> None:
    def allowed(uploader: Actor) -> list[Actor]:
        everybody = (ALICE, BOB, MALLORY, ADA)
        return [who for who in everybody if may_delete_attachment(who, ALICES_TASK_FOR_BOB, uploader.user_id)]

    assert allowed(ALICE) == [ALICE, ADA]
    assert allowed(BOB) == [ALICE, BOB, ADA]


def test_a_task_without_assignee_is_readable_by_its_owner_only() -> None:
    private = TaskAccess(owner_id=ALICE.user_id, assignee_id=None)

    assert [actor for actor in (ALICE, BOB, MALLORY) if may_read_task(actor, private)] == [ALICE]


def test_only_admins_see_everyones_figures() -> None:
    assert [actor for actor in (ALICE, MALLORY, ADA) if sees_all_analytics(actor)] == [ADA]


def test_strangers_do_not_see_each_others_accounts() -> None:
    everybody = (ALICE, BOB, MALLORY, ADA)

    assert [actor for actor in everybody if may_see_account(actor, ALICE.user_id, shares_task=False)] == [ALICE, ADA]
    assert may_see_account(BOB, ALICE.user_id, shares_task=True)


def test_a_comment_without_author_cannot_be_changed() -> None:
    assert not any(may_change_comment(actor, None) for actor in (ALICE, BOB, MALLORY, ADA))


def test_managers_and_admins_create_groups() -> None:
    assert [actor for actor in (ALICE, MALLORY, ADA) if may_create_group(actor)] == [MALLORY, ADA]


def test_managers_and_admins_invite() -> None:
    with_token = replace(ADA, scopes=frozenset({"tasks:write"}))

    assert [actor for actor in (ALICE, MALLORY, ADA, with_token) if may_invite(actor)] == [MALLORY, ADA]


def rows_of(table_head: str) -> dict[str, dict[str, str]]:
    """Return the rows of a table in `docs/permissions.md` by action; each row is a dictionary of cells by column."""
    document = (Path(__file__).resolve().parents[2] / "docs" / "permissions.md").read_text(encoding="utf-8")
    table = document[document.index(f"| {table_head} |") :].partition("\n\n")[0].splitlines()
    (_, *columns), _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return {action: dict(zip(columns, cells, strict=True)) for action, *cells in rows}


TASK_RULES: dict[str, Rule] = {
    "read task": may_read_task,
    "list task": may_read_task,
    "hear events of task": may_read_task,
    "update task": may_update_task,
    "find better times of task": may_read_task,
    "move task to a better time": may_update_task,
    "comment on task": may_read_task,
    "set and take back reminders of task": may_update_task,
    "assign task": may_assign_task,
    "delegate task": may_delegate_task,
    "delete task": may_delete_task,
    "delete others' comments on task": lambda actor, task: may_delete_comment(actor, task, author_id=99),
    "delete attachment of another": lambda actor, task: may_delete_attachment(actor, task, uploader_id=99),
    "see everyone's analytics": lambda actor, _: sees_all_analytics(actor),
    "administer accounts": lambda actor, _: may_administer(actor),
}
ACCESS_BY_COLUMN: dict[str, tuple[Actor, TaskAccess]] = {
    "owner": (ALICE, ALICES_TASK_FOR_BOB),
    "assignee": (BOB, ALICES_TASK_FOR_BOB),
    "group member": (MALLORY, replace(ALICES_TASK_FOR_BOB, in_group=True)),
    "group manager": (MALLORY, replace(ALICES_TASK_FOR_BOB, in_group=True, manages_group=True)),
    "stranger": (MALLORY, ALICES_TASK_FOR_BOB),
    "admin": (ADA, ALICES_TASK_FOR_BOB),
}


def test_the_document_agrees_with_the_task_rules() -> None:
    documented = rows_of("action | owner")

    assert documented.keys() == TASK_RULES.keys()
    for action, cells in documented.items():
        allowed = {who: TASK_RULES[action](*ACCESS_BY_COLUMN[who]) for who in cells}
        assert allowed == {who: cell == "yes" for who, cell in cells.items()}, action


def test_the_document_agrees_with_the_group_rules() -> None:
    documented = rows_of("group action")
    access_by_column = {
        "member": (BOB, GroupAccess(is_member=True, is_manager=False)),
        "manager of it": (BOB, GroupAccess(is_member=True, is_manager=True)),
        "stranger": (MALLORY, GroupAccess(is_member=False, is_manager=False)),
        "admin": (ADA, GroupAccess(is_member=False, is_manager=False)),
    }

    for cells, rule in zip(documented.values(), (may_read_group, may_manage_group, may_manage_group), strict=True):
        assert {who: rule(*access_by_column[who]) for who in cells} == {
            who: cell == "yes" for who, cell in cells.items()
        }
