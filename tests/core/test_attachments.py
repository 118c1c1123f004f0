"""Attachments in the database: quota, events, permissions, and a sweep that deletes only unused files."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from core import db
from core.db import unit_of_work
from core.errors import Conflict, Forbidden, NotFound, TooLarge, Unauthenticated
from core.files import FileFacts
from core.models.attachment import Attachment, StoredFile
from core.policy import Actor
from core.services import attachments, tasks
from core.storage import LocalStorage
from tests.builders import create_task
from tests.polling import wait_until
from tests.recorded import recorded_types
from tests.sql import execute

QUOTA = 100


def facts(size: int = 1) -> FileFacts:
    return FileFacts("notes.txt", "text/plain; charset=utf-8", size, "0" * 64)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture
def task_id(alice: Actor, bob: Actor) -> int:
    """A task that Alice owns and that is assigned to Bob."""
    return create_task(alice, assignee_id=bob.user_id)


def add(actor: Actor, task_id: int, storage: LocalStorage, size: int = 1) -> dict[str, Any]:
    key = attachments.announce(actor, size, QUOTA)
    storage.put(key, io.BytesIO(b"x" * size))
    return orjson.loads(attachments.attach(actor, task_id, key, facts(size)).json)


def make_files_old() -> None:
    with unit_of_work():
        execute(
            "UPDATE stored_files SET created_at = created_at - interval '61 minutes',"
            " removable_at = removable_at - interval '61 minutes'"
        )


def test_adding_and_deleting_record_events_of_the_task(alice: Actor, task_id: int, storage: LocalStorage) -> None:
    added = add(alice, task_id, storage)
    attachments.delete_attachment(alice, task_id, added["id"])

    assert recorded_types(task_id)[2:] == ["task.attached", "task.detached"]
    assert Attachment.select().count() == 0


def test_a_refused_file_records_no_event(mallory: Actor, alice: Actor, task_id: int, storage: LocalStorage) -> None:
    with pytest.raises(Forbidden):
        add(mallory, task_id, storage)
    with pytest.raises(NotFound):
        add(alice, task_id + 1, storage)

    assert recorded_types(task_id)[2:] == []


def test_the_quota_of_a_user_covers_all_tasks(alice: Actor, bob: Actor, task_id: int, storage: LocalStorage) -> None:
    other = create_task(alice, title="y")
    add(alice, task_id, storage, 60)
    with pytest.raises(TooLarge) as refused:
        attachments.announce(alice, 41, QUOTA)

    assert refused.value.stable_code == "quota_exceeded"
    add(alice, other, storage, 40)
    add(bob, task_id, storage, QUOTA)


def test_two_parallel_uploads_do_not_exceed_the_quota(alice: Actor) -> None:
    together = Barrier(2)

    def announce(_: int) -> str:
        try:
            with unit_of_work():
                together.wait()
                attachments.announce(alice, 60, QUOTA)
        except TooLarge as refused:
            return refused.stable_code
        finally:
            db.disconnect()
        return "announced"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(announce, range(2)))

    assert outcomes == ["announced", "quota_exceeded"]


def test_a_file_counts_until_it_is_gone_from_the_storage(alice: Actor, task_id: int, storage: LocalStorage) -> None:
    key = attachments.delete_attachment(alice, task_id, add(alice, task_id, storage, QUOTA)["id"])
    with pytest.raises(TooLarge):
        attachments.require_room(alice, 0, QUOTA)

    assert attachments.claim_removal(key)
    storage.delete(key)
    attachments.forget(key)
    add(alice, task_id, storage, QUOTA)


def test_the_file_of_an_attachment_cannot_be_removed(alice: Actor, task_id: int) -> None:
    key = attachments.announce(alice, 1, QUOTA)
    attachments.attach(alice, task_id, key, facts())

    assert not attachments.claim_removal(key)
    assert orjson.loads(attachments.list_attachments(alice, task_id, 0, 10).items)[0]["size"] == 1


def test_a_file_that_is_being_removed_cannot_be_attached(alice: Actor, task_id: int) -> None:
    key = attachments.announce(alice, 1, QUOTA)

    assert attachments.claim_removal(key)
    with pytest.raises(Conflict):
        attachments.attach(alice, task_id, key, facts())


def test_a_removal_waits_for_an_upload_that_is_being_attached(alice: Actor, task_id: int) -> None:
    key = attachments.announce(alice, 1, QUOTA)

    def claim() -> bool:
        try:
            return attachments.claim_removal(key)
        finally:
            db.disconnect()

    with ThreadPoolExecutor(1) as threads:
        with unit_of_work():
            attachments.attach(alice, task_id, key, facts())
            claimed = threads.submit(claim)
            wait_until(lambda: execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (1,))
        assert not claimed.result()


def test_a_deleted_account_stores_nothing(alice: Actor) -> None:
    with unit_of_work():
        execute("DELETE FROM users WHERE id = %s", (alice.user_id,))

    with pytest.raises(Unauthenticated):
        attachments.announce(alice, 1, QUOTA)


def test_only_uploader_owner_and_admin_delete_an_attachment(
    alice: Actor, bob: Actor, ada: Actor, mallory: Actor, task_id: int, storage: LocalStorage
) -> None:
    of_alice, of_bob = add(alice, task_id, storage)["id"], [add(bob, task_id, storage)["id"] for _ in range(3)]

    with pytest.raises(Forbidden) as refused:
        attachments.delete_attachment(bob, task_id, of_alice)
    assert refused.value.stable_code == "attachment_forbidden"
    for attachment_id in (*of_bob, of_bob[-1] + 1):
        with pytest.raises(Forbidden) as refused:
            attachments.delete_attachment(mallory, task_id, attachment_id)
        assert refused.value.stable_code == "task_forbidden"
    for actor, attachment_id in zip((alice, bob, ada), of_bob, strict=True):
        attachments.delete_attachment(actor, task_id, attachment_id)
    with pytest.raises(NotFound):
        attachments.delete_attachment(bob, task_id, of_bob[0])


def test_the_uploader_can_delete_after_losing_the_task(
    alice: Actor, bob: Actor, task_id: int, storage: LocalStorage
) -> None:
    attachment_id = add(bob, task_id, storage)["id"]
    tasks.update_task(alice, task_id, {"assignee_id": None})

    with pytest.raises(Forbidden):
        attachments.read_attachment(bob, task_id, attachment_id)
    attachments.delete_attachment(bob, task_id, attachment_id)


def test_an_attachment_is_not_found_under_another_task(alice: Actor, task_id: int, storage: LocalStorage) -> None:
    other = create_task(alice, title="y")
    attachment_id = add(alice, task_id, storage)["id"]

    for reach in (attachments.read_attachment, attachments.content_of, attachments.delete_attachment):
        with pytest.raises(NotFound):
            reach(alice, other, attachment_id)


def test_the_sweep_deletes_files_of_deleted_attachments_at_once(
    alice: Actor, task_id: int, storage: LocalStorage, tmp_path: Path
) -> None:
    doomed = create_task(alice, title="doomed")
    add(alice, doomed, storage)
    attachments.delete_attachment(alice, task_id, add(alice, task_id, storage)["id"])
    kept = attachments.content_of(alice, task_id, add(alice, task_id, storage)["id"]).key
    tasks.delete_task(alice, doomed)

    assert attachments.sweep(storage) == 2
    assert [path.name for path in tmp_path.iterdir()] == [kept]
    assert [stored.key for stored in StoredFile.select()] == [kept]


def test_the_sweep_deletes_files_of_a_deleted_account(
    alice: Actor, bob: Actor, task_id: int, storage: LocalStorage, tmp_path: Path
) -> None:
    add(bob, task_id, storage)
    with unit_of_work():
        execute("DELETE FROM users WHERE id = %s", (bob.user_id,))

    assert attachments.sweep(storage) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_sweep_is_due_only_when_a_file_can_be_removed(alice: Actor, task_id: int, storage: LocalStorage) -> None:
    unused: Any = None
    attachment_id = add(alice, task_id, storage)["id"]
    attachments.announce(alice, 1, QUOTA)
    assert not attachments.is_removable(unused)

    attachments.delete_attachment(alice, task_id, attachment_id)
    assert attachments.is_removable(unused)


def test_uploads_of_the_previous_version_count_against_the_quota(alice: Actor, task_id: int) -> None:
    """It runs on this schema during an update, and knows neither who stored a file nor its size."""
    with unit_of_work():
        execute("INSERT INTO stored_files (key) VALUES ('old')")
        execute(
            "INSERT INTO attachments (task_id, user_id, file_key, filename, content_type, size, sha256)"
            " VALUES (%s, %s, 'old', 'x', 'x', %s, 'x')",
            (task_id, alice.user_id, QUOTA),
        )

    with pytest.raises(TooLarge):
        attachments.announce(alice, 1, QUOTA)
    assert not attachments.claim_removal("old")


def test_the_sweep_deletes_old_unattached_files_but_no_new_ones(
    alice: Actor, storage: LocalStorage, tmp_path: Path
) -> None:
    key = attachments.announce(alice, 1, QUOTA)
    storage.put(key, io.BytesIO(b"x"))
    attachments.announce(alice, 1, QUOTA)

    assert attachments.sweep(storage) == 0
    assert (tmp_path / key).exists()
    make_files_old()
    assert attachments.sweep(storage) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_sweep_deletes_more_than_one_batch(storage: LocalStorage, database: None) -> None:
    with unit_of_work():
        execute("INSERT INTO stored_files (key) SELECT n::text FROM generate_series(1, 120) n")
    make_files_old()

    assert attachments.sweep(storage) == 120


def test_an_unavailable_storage_is_logged_once_and_the_next_sweep_continues(
    alice: Actor, storage: LocalStorage, tmp_path: Path
) -> None:
    for _ in range(3):
        attachments.announce(alice, 1, QUOTA)
    make_files_old()
    (tmp_path / "file").touch()

    with capture_logs() as lines:
        assert attachments.sweep(LocalStorage(tmp_path / "file")) == 0

    assert [line["event"] for line in lines] == ["storage_unavailable", "attachment_sweep_put_off"]
    assert attachments.sweep(storage) == 3


def test_a_file_old_enough_to_be_swept_cannot_be_attached(alice: Actor, task_id: int) -> None:
    key = attachments.announce(alice, 1, QUOTA)
    make_files_old()

    with pytest.raises(Conflict):
        attachments.attach(alice, task_id, key, facts())
    assert recorded_types(task_id)[2:] == []
