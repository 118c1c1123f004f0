"""The statements of work that waits in the rows of a table (`core.retries`), as templates.

`{table}`, `{prefix}`, `{key}` and `{owner}` are those of a kind of work, `{also_set}` and `{failure}` are assignments.
"""

from typing import Final

# Rows are locked in the order of their ids, as everywhere, so that no two transactions wait for each other.
CLAIM: Final = """
WITH due AS (
    SELECT id AS row_id FROM {table}
    WHERE {key} = ANY(%(keys)s) AND {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now()
    ORDER BY id FOR UPDATE)
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts + 1,
    {prefix}_next_attempt_at = now() + make_interval(secs => least(
        %(first_wait)s * power(2, {prefix}_attempts), %(longest_wait)s) * %(jitter)s)
FROM due WHERE id = row_id
RETURNING {key}, id
"""

# The batch is selected in a WITH, which runs once. PostgreSQL may run a subquery again for each row, and then the LIMIT
# would not limit the whole statement.
SETTLE: Final = """
WITH batch AS (
    SELECT id AS row_id, end_status, end_result
    FROM unnest(%(keys)s, %(statuses)s::text[], %(results)s::json[]) AS outcome (of_key, end_status, end_result)
    JOIN {table} ON {key} = of_key
    WHERE {prefix}_status = 'pending' AND {prefix}_attempts >= %(attempts)s
        AND (NOT %(due_only)s OR {prefix}_next_attempt_at <= now())
    ORDER BY id LIMIT %(limit)s FOR UPDATE OF {table})
UPDATE {table} settled SET {prefix}_status = end_status{also_set}, {failure}
FROM batch WHERE settled.id = row_id
RETURNING settled.id, end_status
"""

# Work that is given up keeps its failure, and work that ends otherwise has none. If an attempt has ended its process,
# nobody could note why.
FAILURE: Final = """
{prefix}_error = CASE WHEN %(due_only)s THEN 'its job has killed its process'
                      WHEN %(attempts)s > 0 THEN {prefix}_error END,
{prefix}_failing_since = CASE WHEN %(attempts)s > 0 THEN coalesce({prefix}_failing_since, now()) END
"""

NOTE_FAILURE: Final = """
UPDATE {table} SET {prefix}_error = %(reason)s, {prefix}_failing_since = coalesce({prefix}_failing_since, now())
WHERE {key} = ANY(%(keys)s) AND {prefix}_status = 'pending'
"""

# The attempt that was begun does not count. Work that was changed meanwhile has begun anew, and has no attempts.
POSTPONE: Final = """
WITH claimed AS (
    SELECT id AS row_id FROM {table}
    WHERE id = ANY(%(row_ids)s) AND {prefix}_status = 'pending' AND {prefix}_attempts > 0 ORDER BY id FOR UPDATE)
UPDATE {table} SET {prefix}_attempts = {prefix}_attempts - 1,
    {prefix}_next_attempt_at = %(until)s::timestamptz + %(jitter)s * make_interval(secs => %(spread)s)
FROM claimed WHERE id = row_id
"""

OVERDUE: Final = """
SELECT {key} FROM {table}
WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() - make_interval(secs => %(grace)s)
GROUP BY {key} ORDER BY min({prefix}_next_attempt_at) LIMIT %(limit)s
"""

HAS_OVERDUE: Final = """
SELECT EXISTS (SELECT FROM {table}
    WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() - make_interval(secs => %(grace)s))
"""

DUE: Final = """
SELECT count(*) FROM (SELECT FROM {table}
    WHERE {prefix}_status = 'pending' AND {prefix}_next_attempt_at <= now() LIMIT %(limit)s) due
"""

# `waiting` is each user whose work waits, with the time of the next attempt of that user's most urgent work. It takes
# one look into the index for each user, however many rows they have.
_USERS: Final = """
WITH RECURSIVE waiting AS (
    (SELECT {owner} AS user_id, {prefix}_next_attempt_at AS since FROM {table}
     WHERE {prefix}_status = 'pending' ORDER BY 1, 2 LIMIT 1)
    UNION ALL
    SELECT following.* FROM waiting CROSS JOIN LATERAL (
        SELECT {owner}, {prefix}_next_attempt_at FROM {table}
        WHERE {prefix}_status = 'pending' AND {owner} > waiting.user_id ORDER BY 1, 2 LIMIT 1) following
), chosen AS (
    SELECT waiting.user_id, taken_at, since FROM waiting
    LEFT JOIN turns ON turns.work = %(work)s AND turns.user_id = waiting.user_id
    WHERE since <= now() ORDER BY taken_at NULLS FIRST, since LIMIT %(users)s
)"""

_TAKEN: Final = """
INSERT INTO turns (work, user_id, taken_at) SELECT %(work)s, user_id, {taken_at} FROM {users}
ON CONFLICT (work, user_id) DO UPDATE SET taken_at = excluded.taken_at
"""

NEXT: Final = f"""{_USERS}, taken AS ({_TAKEN.format(taken_at="clock_timestamp()", users="chosen")})
SELECT (SELECT {{key}} FROM {{table}} WHERE {{prefix}}_status = 'pending' AND {{owner}} = chosen.user_id
        ORDER BY {{prefix}}_next_attempt_at LIMIT 1) FROM chosen
"""

# Each user's most urgent keys are numbered, and the first of all users come before the second of any. A key is only
# taken if no other process works on it. The locks are tried in a WITH of their own, so only for rows that are returned.
_LOCK_OF_KEY: Final = "hashtextextended(%(work)s || ':' || due_key, 0)"
NEXT_KEYS: Final = f"""{_USERS}, numbered AS MATERIALIZED (
    SELECT user_id, due_key, row_number() OVER (ORDER BY round, taken_at NULLS FIRST, since) AS position
    FROM chosen CROSS JOIN LATERAL (
        SELECT due_key, row_number() OVER (ORDER BY min(due_at)) AS round FROM (
            SELECT {{key}} AS due_key, {{prefix}}_next_attempt_at AS due_at FROM {{table}}
            WHERE {{prefix}}_status = 'pending' AND {{owner}} = chosen.user_id AND {{prefix}}_next_attempt_at <= now()
            ORDER BY {{prefix}}_next_attempt_at LIMIT %(rows)s) urgent
        GROUP BY due_key) own
), ordered AS MATERIALIZED (
    SELECT due_key FROM numbered GROUP BY due_key ORDER BY min(position)
), locked AS MATERIALIZED (
    SELECT due_key FROM ordered WHERE pg_try_advisory_lock({_LOCK_OF_KEY}) LIMIT %(limit)s
), served AS (
    SELECT user_id, statement_timestamp() + max(position) * interval '1 microsecond' AS last_turn
    FROM numbered JOIN locked USING (due_key) GROUP BY user_id ORDER BY user_id
), taken AS ({_TAKEN.format(taken_at="last_turn", users="served")})
SELECT due_key FROM locked
"""
