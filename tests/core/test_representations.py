"""Lists, pages and single rows as JSON: complete, with the right total, and each in one round trip."""

import orjson
import pytest

from core.db import UnitOfWorkMissingError, unit_of_work
from core.models.feedback import Feedback
from core.models.group import Group
from core.representations import Page, fetch_listing, fetch_page, listing_statement, page_statement, write_one
from tests.sql import execute
from tests.statements import statements_sent

pytestmark = pytest.mark.usefixtures("database")

OF_RATING = page_statement(Feedback, where="rating = %(rating)s", order="id DESC")
EITHER = page_statement(Feedback, where="rating = 1 OR rating = 2", order="id")
ALL_OF_RATING = listing_statement(Feedback, where="rating = %(rating)s", order="message DESC")


@pytest.fixture(autouse=True)
def _feedback(database: None) -> None:
    execute("INSERT INTO feedback (rating, message) VALUES (1, 'a'), (2, 'b'), (1, 'c'), (1, 'd'), (3, 'e')")


def messages(items: str) -> list[str]:
    return [item["message"] for item in orjson.loads(items)]


class TestPages:
    @pytest.mark.parametrize(
        ("skip", "limit", "expected"), [(0, 2, ["d", "c"]), (2, 2, ["a"]), (4, 2, []), (0, 100, ["d", "c", "a"])]
    )
    def test_a_page_has_its_items_in_order_and_the_total_of_all(
        self, skip: int, limit: int, expected: list[str]
    ) -> None:
        page = fetch_page(OF_RATING, skip, limit, rating=1)

        assert (messages(page.items), page.total) == (expected, 3)

    def test_an_empty_page_is_an_empty_array(self) -> None:
        assert fetch_page(OF_RATING, 0, 10, rating=5) == Page("[]", 0)

    def test_items_and_total_use_the_same_condition(self) -> None:
        page = fetch_page(EITHER, 1, 2)

        assert (messages(page.items), page.total) == (["b", "c"], 4)

    @pytest.mark.parametrize(
        ("skip", "limit", "is_counted"), [(0, 4, False), (2, 2, False), (0, 3, True), (0, 2, True), (3, 2, True)]
    )
    def test_only_a_page_that_does_not_know_the_total_counts(self, skip: int, limit: int, is_counted: bool) -> None:
        parameters = {"rating": 1, "skip": skip, "limit": limit}
        lines = [line for (line,) in execute(f"EXPLAIN (ANALYZE) {OF_RATING}", parameters).fetchall()]
        (count,) = (lines[number + 1] for number, line in enumerate(lines) if "InitPlan" in line)

        assert ("never executed" not in count) == is_counted

    def test_a_page_takes_one_round_trip(self) -> None:
        with statements_sent() as sent:
            fetch_page(OF_RATING, 0, 2, rating=1)

        assert sent == [OF_RATING]

    def test_a_statement_may_define_its_own_json(self) -> None:
        statement = page_statement(
            Feedback, where="true", order="id", json="json_build_object('length', length(message))"
        )

        assert orjson.loads(fetch_page(statement, 0, 1).items) == [{"length": 1}]


class TestListings:
    def test_a_listing_has_all_items_in_order(self) -> None:
        with statements_sent() as sent:
            listing = fetch_listing(ALL_OF_RATING, rating=1)

        assert messages(listing.items) == ["d", "c", "a"]
        assert len(sent) == 1

    def test_an_empty_listing_is_an_empty_array(self) -> None:
        assert fetch_listing(ALL_OF_RATING, rating=5).items == "[]"


class TestWritingOne:
    def test_an_insert_returns_the_stored_row(self) -> None:
        with unit_of_work(), statements_sent() as sent:
            made = write_one(Group.insert(name="Roofers"))

        (stored,) = execute(f"SELECT {Group.json()} FROM groups").fetchone()
        assert orjson.loads(made.json) == stored
        assert (made.id, made.version) == (stored["id"], 1)
        assert len(sent) == 1

    def test_an_update_returns_the_changed_row(self) -> None:
        with unit_of_work():
            group_id = write_one(Group.insert(name="Roofers")).id
            changed = write_one(Group.update(name="Gardeners").where(Group.id == group_id))

        assert (changed.id, orjson.loads(changed.json)["name"]) == (group_id, "Gardeners")

    def test_outside_a_unit_of_work_it_is_refused(self) -> None:
        with statements_sent() as sent, pytest.raises(UnitOfWorkMissingError):
            write_one(Group.insert(name="Roofers"))

        assert sent == []
