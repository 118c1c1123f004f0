"""The long storm, started by `make chaos`: every part is killed many times in an order of chance."""

import random

import pytest

from tests.chaos.storm import weather_the_storm
from tests.e2e.system import System

BLOWS = 30


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_long_storm(system: System) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - no secret.
    dice = random.Random(seed)  # noqa: S311 - no secret.
    blows = [dice.choice(["web", "worker", "beat", "redis", "postgres"]) for _ in range(BLOWS)]

    refused = weather_the_storm(system, blows, lambda: dice.uniform(0.5, 5))

    print(f"seed {seed}, blows {blows}, refused {dict(refused)}")  # noqa: T201 - to repeat it.
