"""Lists of tasks by the weather: the filters, and the order by risk, also page by page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.models.place import Place
from core.policy import Actor
from core.representations import CursorPage
from core.services import task_lists
from core.services.forecasts import store_forecasts
from core.services.task_lists import SortKey, TaskQuery
from core.weather.forecast import Forecast
from tests.builders import create_task


class TestLists:
    """The stored forecast of one place: 10 % of rain in the first hour, 20 % in the second, and so on."""

    START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    @pytest.fixture(autouse=True)
    def _tasks(self, database: None, alice: Actor) -> None:
        unknown = (None,) * 9
        rain = (*(10.0 * number for number in range(1, 9)), None)
        series = (unknown, unknown, rain, *(unknown,) * 4)
        with unit_of_work():
            place_id = int(Place.insert(reference="tests:1", name="Null Island", latitude=0, longitude=0).execute())
            store_forecasts({place_id: Forecast("tests", self.START, self.START, timedelta(hours=1), *series)})
        for title, hour, state in (
            ("20", 1, "ok"),
            ("80", 7, "ok"),
            ("warned 30", 2, "warned"),
            ("warned 60", 5, "warned"),
            ("missing", 8, "unknown"),
            ("beyond", 90, "unknown"),
            ("past", -9, None),
        ):
            due_at = self.START + timedelta(hours=hour, minutes=30)
            create_task(alice, title=title, place_id=place_id, due_at=due_at, weather_state=state)
        create_task(alice, title="elsewhere", due_at=self.START)

    def ids(self, page: CursorPage) -> list[int]:
        return [task["id"] for task in orjson.loads(page.items)]

    def titles(self, actor: Actor, *keys: SortKey, **filters: Any) -> list[str]:
        page = task_lists.list_tasks(actor, TaskQuery(filters, keys or (SortKey("id"),)))
        return [task["title"] for task in orjson.loads(page.items)]

    def test_the_filters(self, alice: Actor, mallory: Actor) -> None:
        assert self.titles(alice, weather_state=["warned"]) == ["warned 30", "warned 60"]
        assert self.titles(alice, weather_state=["ok", "unknown"]) == ["20", "80", "missing", "beyond"]
        assert self.titles(alice, rain_above=30) == ["80", "warned 60"]
        assert self.titles(alice, rain_above=20, weather_state=["ok"]) == ["80"]
        assert self.titles(mallory, rain_above=0) == []

    def test_the_order_by_risk_has_unknown_risks_last_in_both_directions(self, alice: Actor) -> None:
        falling = self.titles(alice, SortKey("weather_risk", descending=True), SortKey("id"))
        rising = self.titles(alice, SortKey("weather_risk"), SortKey("id"))

        unknown = ["missing", "beyond", "past", "elsewhere"]
        assert falling == ["warned 60", "warned 30", "80", "20", *unknown]
        assert rising == ["20", "80", "warned 30", "warned 60", *unknown]

    @pytest.mark.parametrize("descending", [False, True], ids=["rising", "falling"])
    def test_pages_by_cursor_in_the_order_of_the_risk(self, descending: bool, alice: Actor) -> None:
        query = TaskQuery(sort=(SortKey("weather_risk", descending=descending),), limit=3)
        pages = [task_lists.list_tasks(alice, query)]
        while pages[-1].next_cursor is not None:
            pages.append(task_lists.list_tasks(alice, replace(query, cursor=pages[-1].next_cursor)))

        assert [len(self.ids(page)) for page in pages] == [3, 3, 2]
        assert [task_id for page in pages for task_id in self.ids(page)] == self.ids(
            task_lists.list_tasks(alice, replace(query, limit=100))
        )
