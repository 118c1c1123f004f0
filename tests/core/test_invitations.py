"""What somebody has received is found by an index, because the console asks for it with each connection."""

from core.db import read, unit_of_work
from core.policy import Actor
from core.services import invitations
from tests.builders import create_group
from tests.sql import execute
from tests.statements import statements_with_values


def test_received_invitations_are_found_among_many_by_the_address(alice: Actor, ada: Actor) -> None:
    with unit_of_work():
        execute(
            """
            INSERT INTO invitations (inviter_id, group_id, email, email_key, nonce, is_mailed, expires_at)
            SELECT %s, %s, n || '@example.com', n || '@example.com', '', true, now() + interval '1 day'
            FROM generate_series(1, 5000) n
            """,
            (ada.user_id, create_group(ada)),
        )
        execute("ANALYZE invitations")
        with statements_with_values() as sent:
            invitations.list_received(alice, 0, 10)
        plan = [line for (line,) in read(f"EXPLAIN {sent[-1]}").fetch_all()]

    assert sum("invitations_email" in line for line in plan) == sum(" on invitations" in line for line in plan), plan
    assert any("invitations_email" in line for line in plan)
