"""Who may do what with a task, row by row as `docs/permissions.md` says it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.policy import (
    Actor,
    Role,
    TaskAccess,
    may_assign_task,
    may_delete_attachment,
    may_delete_task,
    may_read_task,
    may_see_account,
    may_update_task,
    sees_all_analytics,
)

ALICE, BOB, MALLORY, ADA = (
    Actor(1, Role.USER, 1),
    Actor(2, Role.USER, 2),
    Actor(3, Role.MANAGER, 3),
    Actor(4, Role.ADMIN, 4),
)
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
def test_rules_of_a_task(rule: Rule, allowed: list[Actor]) -> None:
    assert [actor for actor in (ALICE, BOB, MALLORY, ADA) if rule(actor, ALICES_TASK_FOR_BOB)] == allowed


def test_an_attachment_is_deleted_by_its_uploader_the_owner_and_admins() -> None:
    def allowed(uploader: Actor) -> list[Actor]:
        cast = (ALICE, BOB, MALLORY, ADA)
        return [who for who in cast if may_delete_attachment(who, ALICES_TASK_FOR_BOB, uploader.user_id)]

    assert allowed(ALICE) == [ALICE, ADA]
    assert allowed(BOB) == [ALICE, BOB, ADA]


def test_a_task_without_assignee_is_its_owners_alone() -> None:
    private = TaskAccess(owner_id=ALICE.user_id, assignee_id=None)

    assert [actor for actor in (ALICE, BOB, MALLORY) if may_read_task(actor, private)] == [ALICE]


def test_only_admins_see_everyones_figures() -> None:
    assert [actor for actor in (ALICE, MALLORY, ADA) if sees_all_analytics(actor)] == [ADA]


def test_strangers_do_not_see_each_others_accounts() -> None:
    everybody = (ALICE, BOB, MALLORY, ADA)

    assert [actor for actor in everybody if may_see_account(actor, ALICE.user_id, shares_task=False)] == [ALICE, ADA]
    assert may_see_account(BOB, ALICE.user_id, shares_task=True)


def test_the_document_names_every_rule() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "permissions.md").read_text(encoding="utf-8").lower()

    for word in ("read", "assign", "delete", "analytics", "owner", "assignee", "admin"):
        assert word in document
