"""The operator's pages of the console, which only admins see."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from tests.browser.console import Console, Open
from tests.doubles.weather import WeatherServer
from tests.e2e.people import Person
from tests.e2e.system import ADMIN
from tests.polling import wait_until

PARTS = ["overview", "details", "work", "accounts", "audit", "feedback"]


@pytest.fixture
def operator(open_console: Open, ada: Person) -> Console:
    """The console, in which an admin is signed in."""
    console = open_console()
    page = console.open("operations")
    page.get_by_label("Email or username").fill(ada.email)
    page.get_by_label("Password").fill(ADMIN["password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()
    return console


@pytest.fixture
def cities_without_weather(weather: WeatherServer, alice: Person, ada: Person) -> Iterator[list[str]]:
    """Two cities whose weather could not be fetched, because the provider fails during the test."""
    # The weather of a city that somebody has asked for before would be known.
    cities = [f"city {alice.id}", f"city {alice.id + 1}"]
    weather.down = True
    alice.post("/tasks/bulk", operations=[{"op": "create", "task": {"title": "Mow", "city": city}} for city in cities])
    wait_until(lambda: set(cities) <= {item["what"] for item in ada.get("/admin/work")["items"]}, 30)
    yield cities
    weather.down = False


def test_the_overview_has_every_number_with_its_last_hours(operator: Console) -> None:
    page = operator.page
    expect(page.get_by_role("link", name="System", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator(".measure", has_text="Workers")).to_contain_text("2")
    expect(page.locator(".measure .spark canvas").first).to_be_visible()

    page.get_by_role("link", name="Processes").click()

    expect(page.get_by_role("region", name="Processes", exact=True).first).to_contain_text("beat")
    expect(page.get_by_role("region", name="Largest tables", exact=True).first).to_contain_text("tasks")


def test_what_is_not_well_comes_first_with_its_advice(operator: Console) -> None:
    def with_a_failure(route: Route) -> None:
        # A worker that is really gone would fail the tests that use this system afterwards.
        state = route.fetch().json()
        (measure,) = [each for each in state["measures"] if each["name"] == "processes.worker"]
        measure |= {"value": 0, "state": "bad", "advice": "No worker runs. Start one.", "runbook": "a-worker"}
        route.fulfill(json=state | {"state": "bad"})

    page = operator.page
    page.route("**/api/v1/admin/operations", with_a_failure)
    page.reload()

    expect(page.locator(".summary")).to_contain_text("Something does not work.")
    expect(page.locator(".advice")).to_contain_text("No worker runs. Start one.")
    expect(page.locator(".measure-bad")).to_contain_text("Workers")
    assert operator.violations() == []


def test_others_do_not_see_these_pages(console: Console) -> None:
    page = console.open("operations")

    expect(page.get_by_text("Only for admins")).to_be_visible()
    expect(page.get_by_role("link", name="System", exact=True)).to_have_count(0)


def test_failed_work_is_dropped_and_tried_again_after_a_question(
    operator: Console, cities_without_weather: list[str], ada: Person
) -> None:
    page = operator.open("operations/work?kind=weather")
    first = page.locator(".plain-table tbody tr", has_text=cities_without_weather[0])
    expect(first).to_contain_text("Weather of a task")
    assert operator.violations() == []
    first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Drop: 1 selected").click()
    assert operator.violations() == []
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(page.locator(".plain-table tbody tr")).to_have_count(1)

    page.get_by_role("button", name="Try again: all that match (1)").click()
    page.get_by_role("dialog").get_by_role("button", name="Try again").click()

    expect(page.get_by_text("Tried again: 1")).to_be_visible()
    actions = [entry["action"] for entry in ada.get("/audit?limit=2")["items"]]
    assert actions == ["work.retried", "work.dropped"]


def test_an_account_is_found_and_disabled(operator: Console, bob: Person, ada: Person) -> None:
    page = operator.open("operations/accounts")
    page.get_by_label("Search accounts").fill(bob.email)
    page.get_by_label("Search accounts").press("Enter")
    expect(page.locator(".plain-table tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()

    expect(page.locator(".plain-table tbody tr")).to_contain_text("Disabled")
    assert ada.get(f"/users/{bob.id}")["is_active"] is False


def test_the_audit_log_is_filtered_by_action_and_by_day_in_the_address(operator: Console, bob: Person) -> None:
    bob.get("/users/me/export")
    page = operator.open(f"operations/audit?user_id={bob.id}")
    rows = page.locator(".plain-table tbody tr")
    expect(rows.filter(has_text="Registered")).to_have_count(1)
    page.get_by_label("Any action").select_option(label="Data exported")
    expect(rows).to_have_count(1)
    today = page.evaluate("new Intl.DateTimeFormat('sv', { timeZone: 'UTC' }).format(new Date())")
    page.get_by_label("To", exact=True).fill("2020-01-01")
    expect(page.get_by_text("The audit log has no such entry.")).to_be_visible()
    page.get_by_label("To", exact=True).fill(today)
    expect(rows).to_have_count(1)

    page.reload()

    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("data.exported")
    assert page.url.endswith(f"operations/audit?user_id={bob.id}&action=data.exported&at_to={today}")
    assert operator.violations() == []
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV").click()
    head, line = saving.value.path().read_text().splitlines()
    assert head == "at,action,actor_id,user_id,ip_address,request_id,details"
    assert f",data.exported,{bob.id},{bob.id},127.0.0.1," in line
    page.get_by_role("button", name="Clear filters").click()
    expect(rows.nth(1)).to_be_visible()


@pytest.mark.parametrize("width", [1360, 360])
def test_every_part_is_accessible_and_fits(width: int, operator: Console, ada: Person) -> None:
    ada.post("/feedback", rating=5, message="I am never rained on.")
    operator.page.set_viewport_size({"width": width, "height": 740})
    operator.jumped()
    found = {}
    for part in PARTS:
        page = operator.open(f"operations/{part}")
        expect(page.locator("main .panel, .plain-table").first).to_be_visible()
        expect(page.locator(".skeleton")).to_have_count(0)
        found[part] = operator.violations() + (["it is too wide"] * operator.overflows())
        found[part] += ["it has jumped"] * operator.jumped()

    assert {part: violations for part, violations in found.items() if violations} == {}
