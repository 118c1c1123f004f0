"""New places of tasks: each user may have so many on a day that nobody can use up the calls of all.

A place is new if there is no forecast of it yet, and a name if it was not looked up yet. What several users wait for
counts for the one who has had the fewest. It is counted after the provider was asked, so jobs that run at the same time
may exceed the number by what they ask for.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from core.db import read, unit_of_one_statement, write
from core.services.places import IS_FRESH

_NEW: Final = f"""
SELECT DISTINCT ON (wanted.key) wanted.key, t.user_id, coalesce(counted.places, 0)
FROM unnest(%(keys)s::text[], %(task_ids)s::bigint[]) AS wanted (key, task_id)
JOIN tasks t ON t.id = wanted.task_id
LEFT JOIN place_names n ON t.place_id IS NULL AND n.key = t.city_key AND {IS_FRESH}
LEFT JOIN weather_new_places counted ON counted.user_id = t.user_id AND counted.day = current_date
WHERE cardinality(n.place_ids) IS DISTINCT FROM 0
    AND NOT EXISTS (SELECT FROM forecasts f WHERE f.place_id = coalesce(t.place_id, n.place_ids[1]))
ORDER BY wanted.key, coalesce(counted.places, 0), t.user_id
"""

# The order prevents a deadlock of two jobs that count for the same users.
_COUNT: Final = """
INSERT INTO weather_new_places AS counted (user_id, day, places)
SELECT user_id, current_date, count(*) FROM unnest(%(user_ids)s::bigint[]) AS asked (user_id)
GROUP BY user_id ORDER BY user_id
ON CONFLICT (user_id, day) DO UPDATE SET places = counted.places + excluded.places
"""


def new_places(tasks: Mapping[str, Collection[int]], per_user: int) -> tuple[dict[str, int], list[str]]:
    """Return for which users to count the new places, and which of these are too many for today.

    Args:
        tasks: The ids of the tasks that wait, by the keys of their places.
        per_user: How many new places a user may have on a day.

    Returns:
        The id of the user by the key of each new place that may be asked for, and the other keys of new places.
    """
    wanted = [(key, task_id) for key, ids in tasks.items() for task_id in ids]
    parameters = {"keys": [key for key, _ in wanted], "task_ids": [task_id for _, task_id in wanted]}
    users: dict[str, int] = {}
    too_many: list[str] = []
    places: dict[int, int] = {}
    for key, user_id, counted in read(_NEW, parameters).fetch_all():
        places.setdefault(user_id, counted)
        places[user_id] += 1
        if places[user_id] <= per_user:
            users[key] = user_id
        else:
            too_many.append(key)
    return users, too_many


def count_new_places(user_ids: Iterable[int]) -> None:
    """Count a new place for which the provider was asked, for each time that a user is named."""
    with unit_of_one_statement():
        write(_COUNT, {"user_ids": list(user_ids)})
