"""The long load test with failures, started by `make chaos`: parts are killed many times in random order."""

import random

import pytest

from tests.chaos.storm import kill_parts_under_load
from tests.e2e.system import System

KILLS = 30


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_all_guarantees_hold_while_parts_are_killed_in_random_order(system: System) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - not a secret.
    rng = random.Random(seed)  # noqa: S311 - not a secret.
    kills = [rng.choice(["web", "worker", "beat", "redis", "postgres"]) for _ in range(KILLS)]

    refused = kill_parts_under_load(system, kills, lambda: rng.uniform(0.5, 5))

    print(f"seed {seed}, kills {kills}, refused {dict(refused)}")  # noqa: T201 - the seed is needed to repeat a failed run.
