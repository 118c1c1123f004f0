"""Compare how long login takes to refuse an unknown name and a wrong password. See README.md in this directory."""

from benchmarks.timing import BCRYPT_ROUNDS, ROUNDS, api, compare
from core.security import hash_password
from core.services import accounts

GUESS = {"password": "a wrong guess"}


def _seed() -> None:
    password_hash = hash_password("a password of the benchmark", BCRYPT_ROUNDS)
    for number in range(ROUNDS):
        accounts.register(username=f"known{number}", email=None, full_name=None, password_hash=password_hash)


def main() -> None:
    """Log in with known and unknown names alternately, each name once, and print the median times."""
    with api(_seed) as address:
        bodies = {
            "known": lambda number: GUESS | {"username": f"known{number}"},
            "unknown": lambda number: GUESS | {"username": f"unknown{number}"},
        }
        compare(f"{address}/auth/login", bodies, status=401)


if __name__ == "__main__":
    main()
