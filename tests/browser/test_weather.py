"""The weather in the console: places, forecasts, rules, and better times."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from core.messages import Message, translate
from tests.browser.console import Console, card
from tests.doubles.weather import WeatherServer
from tests.e2e.people import Person
from tests.polling import wait_until

HOUR = timedelta(hours=1)


@pytest.fixture
def deadline() -> datetime:
    """Noon of the day after tomorrow."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)


@pytest.fixture
def storm(weather: WeatherServer, deadline: datetime) -> datetime:
    """The end of some hours of storm in Madrid, which are also the time of the deadline."""
    weather.expect("Madrid", deadline - 3 * HOUR, deadline + HOUR, gusts=90.0, rain_probability=95)
    return deadline


def task_in(alice: Person, **fields: Any) -> dict[str, Any]:
    """Create a task with a place, and wait until its weather is there."""
    task = alice.create_task(title="Paint the fence", **fields)
    wait_until(lambda: alice.get(f"/tasks/{task['id']}")["weather_status"] == "ready")
    return task


def test_a_city_of_another_country_is_corrected(console: Console, alice: Person) -> None:
    task = task_in(alice, city="Paris")
    page = console.open(f"tasks/{task['id']}")
    expect(page.locator(".place-name")).to_have_text("Paris, Île-de-France, France")

    page.get_by_role("button", name="Choose another place").click()
    expect(page.locator(".places")).to_contain_text("Texas")
    assert console.violations() == []
    page.locator(".places").get_by_role("button", name="Texas").click()

    expect(page.locator(".place-name")).to_have_text("Paris, Texas, United States")
    expect(page.get_by_text("Now 27°C")).to_be_visible()
    expect(page.get_by_text("Weather data by Open-Meteo.com")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.locator(".place-name")).to_have_text("Paris, Île-de-France, France")


def test_the_weather_is_said_in_the_language_of_the_reader(console: Console, alice: Person) -> None:
    task = task_in(alice, city="Paris")
    condition = alice.get(f"/tasks/{task['id']}")["weather"]["condition"]
    page = console.open("settings")
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()

    page = console.open(f"tasks/{task['id']}")

    in_german = translate(Message(condition), "de")
    assert in_german != condition
    expect(page.get_by_text(re.compile(f"Jetzt .+, {in_german}, gefühlt"))).to_be_visible()


def test_a_task_is_warned_and_moved_to_a_better_time(console: Console, alice: Person, storm: datetime) -> None:
    task = task_in(alice, city="Madrid", due_at=storm.isoformat())
    expect(card(console.page, "Paint the fence")).to_contain_text("22°C")
    page = console.open(f"tasks/{task['id']}")
    expect(page.locator(".weather-card")).to_contain_text("gusts 90 km/h")

    page.get_by_role("button", name="Change the rule").click()
    page.get_by_label("Strongest gusts").fill("50")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".weather-state")).to_have_text("Bad weather expected")
    expect(page.locator(".task-facts").get_by_text("Gusts at most 50 km/h")).to_be_visible()
    assert console.violations() == []
    console.open("list?weather_state=warned&sort=-weather_risk")
    expect(page.locator(".row-title")).to_have_text(["Paint the fence"])
    page.get_by_role("link", name="Paint the fence").click()

    page.get_by_role("button", name="Better times").click()
    page.get_by_role("button", name="Take this time").first.click()
    expect(page.locator(".weather-state")).to_have_text("Weather fits")
    page.keyboard.press("Control+z")
    expect(page.locator(".weather-state")).to_have_text("Bad weather expected")

    assert datetime.fromisoformat(alice.get(f"/tasks/{task['id']}")["due_at"]) == storm
    page = console.open("analytics?days=7")
    expect(page.locator(".weather-figures tbody tr")).to_contain_text("Madrid, ES")


def test_a_deadline_is_a_day_or_a_time(console: Console, alice: Person) -> None:
    day = date.today() + timedelta(days=40)  # noqa: DTZ011 - a day far enough from every midnight.
    task = task_in(alice, city="Oslo")
    page = console.open(f"tasks/{task['id']}")
    page.get_by_label("Without a time").check()
    page.get_by_label("Deadline", exact=True).fill(day.isoformat())
    page.get_by_label("Deadline", exact=True).blur()

    expect(page.get_by_text("too far away for a forecast")).to_be_visible()
    assert due(alice, task) == (day.isoformat(), True)
    page.get_by_label("Without a time").uncheck()
    expect(page.get_by_label("Deadline", exact=True)).to_have_value(f"{day}T17:00")
    wait_until(lambda: due(alice, task) == (None, True))
    page.get_by_role("button", name="Undo").last.click()
    wait_until(lambda: due(alice, task) == (day.isoformat(), True))


def due(alice: Person, task: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the day of a task's deadline, and whether it has a time of any kind."""
    now = alice.get(f"/tasks/{task['id']}")
    return now["due_on"], now["due_at"] is not None


def test_bounds_and_a_duration_are_kept(console: Console, alice: Person, deadline: datetime) -> None:
    task = task_in(alice, city="Oslo", due_at=deadline.isoformat())
    page = console.open(f"tasks/{task['id']}")
    page.get_by_label("It takes").select_option("2 hr")
    page.get_by_role("button", name="Allow it").click()
    page.get_by_label("Not after").fill(f"{deadline.date() + timedelta(days=3)}T18:00")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("In bad weather, to a better time until")).to_be_visible()
    wait_until(lambda: alice.get(f"/tasks/{task['id']}")["duration_minutes"] == 120)
    kept = wait_until(lambda: alice.get(f"/tasks/{task['id']}")["auto_reschedule"])
    assert kept["not_after"].startswith(f"{deadline.date() + timedelta(days=3)}")


def test_the_profile_has_a_rule_and_working_hours(console: Console, alice: Person) -> None:
    page: Page = console.open("settings")
    page.get_by_label("Most rain").fill("0.5")
    page.get_by_label("Sun", exact=True).uncheck()
    page.get_by_label("To", exact=True).fill("18:00")
    page.locator("section", has=page.get_by_role("heading", name="Weather and working hours")).get_by_role(
        "button", name="Save"
    ).click()
    expect(page.get_by_text("Your weather and your working hours were saved.")).to_be_visible()

    profile = alice.get("/auth/me")
    assert profile["weather_rule"]["max_rain_mm"] == 0.5
    assert profile["working_hours"] == {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat"],
        "from": "08:00",
        "to": "18:00",
    }
    task = task_in(alice, city="Oslo")
    page = console.open(f"tasks/{task['id']}")
    expect(page.get_by_text("The same as in your profile: Rain at most 0.5 mm")).to_be_visible()
