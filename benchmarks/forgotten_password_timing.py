"""Compare how long a forgotten password takes to report for known and unknown addresses. See README.md here."""

from benchmarks.timing import ROUNDS, api, compare
from core.db import unit_of_work
from core.models.account import User
from core.services import accounts


def _seed() -> None:
    for number in range(ROUNDS):
        email = f"known{number}@example.com"
        accounts.register(username=email, email=email, full_name=None, password_hash="-")  # noqa: S106 - not a hash.
    with unit_of_work():
        User.update(email_verified_at=User.created_at).execute()


def main() -> None:
    """Report each address once, known and unknown ones alternately, and print the median times."""
    with api(_seed) as address:
        bodies = {
            "known": lambda number: {"email": f"known{number}@example.com"},
            "unknown": lambda number: {"email": f"unknown{number}@example.com"},
        }
        compare(f"{address}/api/v1/auth/password/forgot", bodies, status=202)


if __name__ == "__main__":
    main()
