"""From the measured cost of a request to the cores that a million users need, with the assumptions in the table."""

from typing import Any, Final

from benchmarks.suite import Row

USERS: Final = 1_000_000
ACTIVE_ON_A_DAY: Final = 0.2
REQUESTS_OF_AN_ACTIVE_USER: Final = 50
PEAK_TO_MEAN: Final = 4
BUSY_AT_MOST: Final = 0.5
# The cases of `benchmarks.compare`, and their share of all requests. A change of a task counts as a creation.
MIX: Final = {"read a task": 0.6, "list 20 of 100": 0.25, "create a task": 0.15}
_SECONDS_OF_A_DAY: Final = 86_400


def rows(costs: list[dict[str, Any]]) -> list[Row]:
    """Return the steps of the arithmetic, from the table `costs` of the comparison."""
    by_case = {next(iter(row.values())): row for row in costs}

    def mean_cost(column: str) -> float:
        return sum(share * float(by_case[case][column]) for case, share in MIX.items())

    mean = USERS * ACTIVE_ON_A_DAY * REQUESTS_OF_AN_ACTIVE_USER / _SECONDS_OF_A_DAY
    peak = mean * PEAK_TO_MEAN
    web, database = mean_cost("Allweather"), mean_cost("PostgreSQL for Allweather")
    steps = {
        "users (assumed)": USERS,
        "share of them that is active on a day (assumed)": ACTIVE_ON_A_DAY,
        "requests of an active user on a day (assumed)": REQUESTS_OF_AN_ACTIVE_USER,
        **{f"share of requests that {case} (assumed)": share for case, share in MIX.items()},
        "requests per second on average": mean,
        "times the average at the peak (assumed)": PEAK_TO_MEAN,
        "requests per second at the peak": peak,
        "µs of CPU time per request in the web process": web,
        "µs of CPU time per request in PostgreSQL": database,
        "how busy a core may be at the peak (assumed)": BUSY_AT_MOST,
        "cores for web processes": peak * web / 1e6 / BUSY_AT_MOST,
        "cores for PostgreSQL": peak * database / 1e6 / BUSY_AT_MOST,
        "cores for web processes of the bare peer": peak * mean_cost("bare peer") / 1e6 / BUSY_AT_MOST,
        "users for whom one web process on one core suffices": USERS * BUSY_AT_MOST / (peak * web / 1e6),
    }
    return [{"step": step, "figure": figure} for step, figure in steps.items()]
