"""Where the weather of a task is: at the place of its city, at a chosen place, or at a point."""

from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import Failure, Invalid
from core.policy import Actor
from core.services.places import store_found
from core.weather import FoundPlace
from tests.builders import create_task, read_task, update_task
from tests.sql import execute
from tests.statements import statements_sent

pytestmark = pytest.mark.usefixtures("database")


def found(reference: str, name: str, latitude: float) -> FoundPlace:
    return FoundPlace(reference, name, None, None, "FR", latitude, 2.0, "Europe/Paris", None)


@pytest.fixture
def paris(alice: Actor) -> list[int]:
    """The ids of two places called Paris, the best match first."""
    with unit_of_work():
        return store_found("paris", [found("tests:1", "Paris", 48.9), found("tests:2", "Paris", 33.7)])


def place_of(task: dict[str, Any]) -> tuple[str | None, int | None, str | None]:
    return task["city"], task["place_id"], task["weather_status"]


class TestNewTasks:
    def test_a_city_that_was_looked_up_is_its_best_match_at_once_in_one_statement(
        self, alice: Actor, paris: list[int]
    ) -> None:
        create_task(alice, city="Paris")
        with statements_sent() as sent:
            task_id = create_task(alice, city=" PARIS ")

        assert len(sent) == 1
        task = read_task(alice, task_id)
        assert place_of(task) == (" PARIS ", paris[0], "pending")
        assert task["place"]["latitude"] == 48.9

    def test_a_city_that_was_not_looked_up_has_no_place_yet(self, alice: Actor) -> None:
        assert place_of(read_task(alice, create_task(alice, city="Oslo"))) == ("Oslo", None, "pending")

    def test_a_place_can_be_chosen(self, alice: Actor, paris: list[int]) -> None:
        task = read_task(alice, create_task(alice, place_id=paris[1]))

        assert place_of(task) == (None, paris[1], "pending")
        assert task["place"]["latitude"] == 33.7

    def test_tasks_near_to_each_other_share_the_place_of_their_points(self, alice: Actor) -> None:
        first, second = (
            read_task(alice, create_task(alice, latitude=latitude, longitude=-0.1276))
            for latitude in (51.5072, 51.5074)
        )

        assert place_of(first) == (None, second["place_id"], "pending")
        assert (first["place"]["name"], first["place"]["latitude"], first["place"]["longitude"]) == (None, 51.51, -0.13)

    @pytest.mark.parametrize("more", [{}, {"assignee": True}])
    def test_an_unknown_place_is_refused(self, more: dict[str, Any], alice: Actor) -> None:
        assigned = {"assignee_id": alice.user_id} if more else {}
        with pytest.raises(Invalid) as refused:
            create_task(alice, place_id=2**62, **assigned)

        assert [error.field for error in refused.value.errors] == ["place_id"]
        assert execute("SELECT count(*) FROM tasks").fetchone() == (0,)

    def test_a_point_of_somebody_else_cannot_be_chosen_by_its_id(self, alice: Actor, mallory: Actor) -> None:
        place_id = read_task(alice, create_task(alice, latitude=51.51, longitude=-0.13))["place_id"]
        task_id = create_task(mallory)

        for choose in (
            lambda: create_task(mallory, place_id=place_id),
            lambda: create_task(mallory, place_id=place_id, assignee_id=mallory.user_id),
            lambda: update_task(mallory, task_id, place_id=place_id),
        ):
            with pytest.raises(Invalid) as refused:
                choose()
            assert [error.field for error in refused.value.errors] == ["place_id"]


class TestChanges:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"place_id": 1}, (None, 1, "pending")),
            ({"place_id": 1, "city": None}, (None, 1, "pending")),
            ({"city": "Oslo"}, ("Oslo", None, "pending")),
            ({"city": "Oslo", "place_id": None}, ("Oslo", None, "pending")),
            ({"city": None}, (None, None, None)),
            ({"place_id": None}, (None, None, None)),
        ],
        ids=str,
    )
    def test_a_change_clears_the_others(
        self, changes: dict[str, Any], expected: tuple[Any, ...], alice: Actor, paris: list[int]
    ) -> None:
        task_id = create_task(alice, city="Paris")
        numbered = {name: paris[1] if value == 1 else value for name, value in changes.items()}

        changed = update_task(alice, task_id, **numbered)

        assert place_of(changed) == tuple(paris[1] if value == 1 else value for value in expected)

    def test_a_chosen_place_gives_way_to_a_city_or_a_point(self, alice: Actor, paris: list[int]) -> None:
        task_id = create_task(alice, place_id=paris[1])

        assert place_of(update_task(alice, task_id, city="Paris")) == ("Paris", paris[0], "pending")
        at_point = update_task(alice, task_id, latitude=1.0, longitude=2.0)
        assert (at_point["city"], at_point["place"]["name"], at_point["place"]["latitude"]) == (None, None, 1.0)

    @pytest.mark.parametrize(
        "changes", [{"city": None}, {"latitude": None, "longitude": None}, {"title": "Anew"}], ids=str
    )
    def test_what_a_task_does_not_have_clears_nothing(
        self, changes: dict[str, Any], alice: Actor, paris: list[int]
    ) -> None:
        """Earlier clients know only the city, and send null for it with every change."""
        task_id = create_task(alice, place_id=paris[1])

        assert place_of(update_task(alice, task_id, **changes)) == (None, paris[1], "pending")

    def test_the_same_place_again_is_no_change(self, alice: Actor, paris: list[int]) -> None:
        task_id = create_task(alice, city="Paris")

        assert update_task(alice, task_id, place_id=paris[0])["version"] == 1
        assert place_of(update_task(alice, task_id, city="PARIS")) == ("PARIS", paris[0], "pending")

    def test_the_history_says_where_a_task_was(self, alice: Actor, paris: list[int]) -> None:
        task_id = create_task(alice, city="Paris")
        update_task(alice, task_id, place_id=paris[1])

        (changes,) = execute("SELECT changes FROM task_activity ORDER BY id DESC LIMIT 1").fetchone()
        assert changes == {"city": {"from": "Paris", "to": None}, "place_id": {"from": paris[0], "to": paris[1]}}

    def test_an_unknown_place_is_refused(self, alice: Actor, paris: list[int]) -> None:
        task_id = create_task(alice, city="Paris")

        with pytest.raises(Failure) as refused:
            update_task(alice, task_id, place_id=2**62)

        assert isinstance(refused.value, Invalid)
        assert [error.field for error in refused.value.errors] == ["place_id"]
        assert place_of(read_task(alice, task_id)) == ("Paris", paris[0], "pending")
