"""Migrations: only one of several parallel processes migrates, and every migration can be rolled back."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from peewee import PostgresqlDatabase
from peewee_migrate import Router

from core.migrations import DIRECTORY, migrate

_OWNER_AND_TASK = """
WITH owner AS (
    INSERT INTO users (username, email, full_name, password_hash) VALUES ('alice', 'alice@example.com', '', '')
    RETURNING id
)
INSERT INTO tasks (title, user_id) SELECT 'Clean the gutters', id FROM owner RETURNING user_id, id
"""
_ATTACHED_FILE = """
INSERT INTO attachments (task_id, user_id, file_key, filename, content_type, size, sha256)
VALUES (%s, %s, 'attached', 'x', 'x', 60, 'x')
"""


def test_only_one_of_four_parallel_processes_migrates(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrate(empty_database), range(4)))

    assert sorted(map(len, done))[:3] == [0, 0, 0]
    assert max(done, key=len)[0] == "001_initial"


def test_files_stored_before_the_quota_counted_them_are_counted_afterwards(empty_database: str) -> None:
    migrate(empty_database)
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        while Router(database, migrate_dir=DIRECTORY).done[-1] != "007_attachments":
            Router(database, migrate_dir=DIRECTORY).rollback()
        user_id, task_id = database.execute_sql(_OWNER_AND_TASK).fetchone()
        database.execute_sql("INSERT INTO stored_files (key) VALUES ('attached'), ('left')")
        database.execute_sql(_ATTACHED_FILE, (task_id, user_id))

    migrate(empty_database)

    with database.connection_context():
        rows = database.execute_sql(
            "SELECT key, user_id, size, removable_at - created_at FROM stored_files ORDER BY key"
        ).fetchall()
    assert rows == [("attached", user_id, 60, None), ("left", None, None, timedelta(hours=1))]


def test_every_migration_can_be_rolled_back_and_repeated(empty_database: str) -> None:
    names = migrate(empty_database)
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        for _ in names:
            Router(database, migrate_dir=DIRECTORY).rollback()
        assert database.get_tables() == ["migratehistory"]

    assert migrate(empty_database) == names


def test_existing_accounts_get_keys_and_the_oldest_of_two_with_the_same_key_keeps_it(empty_database: str) -> None:
    names = migrate(empty_database)
    composed, decomposed = (unicodedata.normalize(form, "naïve") for form in ("NFC", "NFD"))
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        router = Router(database, migrate_dir=DIRECTORY)
        while router.done[-1] != "009_names_and_tickets":
            router.rollback()
        router.rollback()
        database.execute_sql(
            "INSERT INTO users (username, email, password_hash) VALUES (%s, %s, 'x'), (%s, NULL, 'x')",
            (composed, "A@bücher.example", decomposed),
        )
        migrate(empty_database)
        keys = database.execute_sql("SELECT username_key, email_key FROM users ORDER BY id").fetchall()

    assert names[-1] >= "009_names_and_tickets"
    assert keys == [(composed, "a@xn--bcher-kva.example"), (None, None)]


def test_existing_tasks_and_groups_count_for_the_quotas(empty_database: str) -> None:
    migrate(empty_database)
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        router = Router(database, migrate_dir=DIRECTORY)
        while router.done[-1] != "012_turns_and_quotas":
            router.rollback()
        router.rollback()
        user_id, _ = database.execute_sql(_OWNER_AND_TASK).fetchone()
        database.execute_sql(
            "INSERT INTO analytics_rollups (day, user_id, status, tasks)"
            " VALUES ('2026-05-01', %(id)s, 'todo', 3), ('2026-05-02', %(id)s, 'done', 4)",
            {"id": user_id},
        )
        database.execute_sql(
            "INSERT INTO groups (name, created_at) VALUES ('made', '2026-05-01'), ('joined', '2026-05-02')"
        )
        database.execute_sql(
            "INSERT INTO group_members (group_id, user_id, is_manager, joined_at)"
            " SELECT id, %s, true, '2026-05-01' FROM groups",
            (user_id,),
        )

    migrate(empty_database)

    with database.connection_context():
        totals = database.execute_sql("SELECT user_id, tasks, todo, done FROM task_totals").fetchall()
        creators = database.execute_sql("SELECT name, creator_id FROM groups ORDER BY id").fetchall()
    assert totals == [(user_id, 7, 3, 4)]
    assert creators == [("made", user_id), ("joined", None)]


def test_existing_events_stay_in_their_table_which_becomes_the_first_partition(empty_database: str) -> None:
    migrate(empty_database)
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        router = Router(database, migrate_dir=DIRECTORY)
        while router.done[-1] != "015_event_partitions":
            router.rollback()
        router.rollback()
        record = "INSERT INTO events (type, audience, data) VALUES (%s, '{}', '{}') RETURNING id"
        (first,) = database.execute_sql(record, ("before",)).fetchone()
        (file_before,) = database.execute_sql("SELECT pg_relation_filenode('events')").fetchone()

    migrate(empty_database)

    with database.connection_context():
        (file_after,) = database.execute_sql("SELECT pg_relation_filenode('events_before')").fetchone()
        (second,) = database.execute_sql(record, ("after",)).fetchone()
        rows = database.execute_sql("SELECT tableoid::regclass::text, type FROM events ORDER BY id").fetchall()
    assert file_after == file_before
    assert second > first
    assert rows == [("events_before", "before"), ("events_before", "after")]


def test_a_rollback_of_the_partitions_keeps_all_events(empty_database: str) -> None:
    migrate(empty_database)
    database = PostgresqlDatabase(empty_database)
    with database.connection_context():
        for days in (0, 30):
            database.execute_sql(
                "INSERT INTO events (type, audience, data, at)"
                " VALUES ('x', '{}', '{}', now() + make_interval(days => %s))",
                (days,),
            )
        kept = database.execute_sql("SELECT id, at FROM events ORDER BY id").fetchall()
        router = Router(database, migrate_dir=DIRECTORY)
        while router.done[-1] != "015_event_partitions":
            router.rollback()
        router.rollback()
        database.execute_sql("INSERT INTO events (type, audience, data) VALUES ('x', '{}', '{}')")
        rows = database.execute_sql("SELECT id, at FROM events ORDER BY id").fetchall()
    assert rows[:-1] == kept
    assert rows[-1][0] > kept[-1][0]
