"""The console in a real browser: what people do with it, and what happens when something fails meanwhile."""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from core.services.measures import MEASURES
from tests.browser.console import Console, Open, card, column, drag
from tests.e2e.people import PASSWORD, Person
from tests.e2e.system import System
from tests.polling import wait_until

PAGES = ["board", "list", "analytics", "groups", "notifications", "settings"]


def patch(person: Person, path: str, version: int | None = None, **fields: Any) -> dict[str, Any]:
    """Change something over the API, as another client does."""
    headers = person.headers | ({} if version is None else {"If-Match": f'"{version}"'})
    response = requests.patch(f"{person.system.url}/api/v1{path}", json=fields, headers=headers, timeout=10)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


def titles(person: Person) -> list[str]:
    return [task["title"] for task in person.get("/tasks")["items"]]


class TestSession:
    def test_signing_in_and_out(self, open_console: Open, alice: Person) -> None:
        console = open_console()
        console.expect_error("401")
        page = console.open()
        page.get_by_label("Email or username").fill(alice.email)
        page.get_by_label("Password").fill("a wrong password")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("password")

        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Account of Alice Archer").click()
        page.get_by_role("button", name="Sign out").click()

        expect(page.get_by_text("You have signed out.")).to_be_visible()
        assert [cookie["name"] for cookie in console.context.cookies()] == []

    def test_who_registers_learns_what_to_do_first(self, open_console: Open) -> None:
        page = open_console().open()
        page.get_by_role("button", name="Create an account").click()
        page.get_by_label("Your name").fill("Carol")
        page.get_by_label("Email").fill("carol-of-the-console@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()

        expect(page.get_by_text("No tasks yet")).to_be_visible()

    def test_who_registers_sees_each_page_in_the_language_of_the_browser(self, open_console: Open) -> None:
        page = open_console(locale="de-DE").open()
        headings: list[str] = []

        def note_what_is_shown(route: Route) -> None:
            headings.append(page.get_by_role("heading", level=1).inner_text())
            route.continue_()

        page.route("**/api/v1/auth/me", note_what_is_shown)
        page.get_by_role("button", name="Konto anlegen").click()
        page.get_by_label("E-Mail").fill("carla-of-the-console@example.com")
        page.get_by_label("Passwort").fill(PASSWORD)
        page.get_by_role("button", name="Konto anlegen").click()

        expect(page.get_by_role("heading", name="Tafel")).to_be_visible()
        assert headings == ["Konto anlegen"]

    def test_a_password_that_is_refused_is_explained_at_its_field(self, open_console: Open) -> None:
        console = open_console()
        console.expect_error("422")
        page = console.open()
        page.get_by_role("button", name="Create an account").click()
        page.get_by_label("Email").fill("dora-of-the-console@example.com")
        page.get_by_label("Password").fill("password")
        page.get_by_role("button", name="Create account").click()

        expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Password")).to_be_focused()

    def test_tabs_share_a_session_and_end_it_together(self, console: Console) -> None:
        tabs = [console.page, console.new_tab(), console.new_tab()]
        for tab in tabs[1:]:
            console.open(page=tab)
        for _ in range(2):
            # All of them use the refresh cookie at the same time; each token works only once.
            for tab in tabs:
                tab.evaluate("location.reload()")
            for tab in tabs:
                expect(tab.get_by_role("heading", name="Board")).to_be_visible()
                expect(tab.get_by_role("button", name="Connection: Live")).to_be_visible()

        tabs[1].get_by_role("button", name="Account of").click()
        tabs[1].get_by_role("button", name="Sign out").click()

        for tab in tabs:
            expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()

    def test_no_token_is_kept_in_the_storage_of_the_browser(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence")
        expect(card(console.page, "Paint the fence")).to_be_visible()

        kept = console.page.evaluate("JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})")
        (cookie,) = console.context.cookies()

        assert cookie["httpOnly"]
        assert cookie["value"] not in kept
        assert "eyJ" not in kept, "a JWT begins like this"
        assert console.page.evaluate("document.cookie") == ""

    def test_a_session_that_is_revoked_elsewhere_ends_here(self, console: Console, alice: Person) -> None:
        console.expect_error("401")
        expect(console.page.get_by_role("button", name="Connection: Live")).to_be_visible()

        requests.post(f"{alice.system.url}/api/v1/auth/logout_all", headers=alice.headers, timeout=10)

        expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(console.page.get_by_text(re.compile("session"))).to_be_visible()


class TestBoard:
    def test_a_card_is_dragged_with_the_mouse(self, console: Console, alice: Person) -> None:
        task = alice.create_task(title="Paint the fence")
        page = console.page

        drag(page, card(page, "Paint the fence"), column(page, "in_progress"))

        expect(card(column(page, "in_progress"), "Paint the fence")).to_be_visible()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["status"] == "in_progress")

    def test_a_card_is_held_and_dragged_by_touch(self, open_console: Open, alice: Person) -> None:
        console = open_console(viewport={"width": 800, "height": 700}, has_touch=True)
        page = console.sign_in(alice)
        task = alice.create_task(title="Paint the fence")
        begin, end = card(page, "Paint the fence").bounding_box(), column(page, "in_progress").bounding_box()
        assert begin is not None
        assert end is not None
        touch = page.context.new_cdp_session(page)

        def send(kind: str, x: float, y: float) -> None:
            points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        send("touchStart", begin["x"] + 30, begin["y"] + 15)
        expect(page.locator(".ghost")).to_be_visible()
        send("touchMove", end["x"] + 40, end["y"] + 60)
        expect(page.locator(".column.target")).to_have_attribute("data-status", "in_progress")
        send("touchEnd", 0, 0)

        expect(card(column(page, "in_progress"), "Paint the fence")).to_be_visible()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["status"] == "in_progress")

    def test_a_drag_that_is_given_up_changes_nothing(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence")
        page = console.page
        place = card(page, "Paint the fence").bounding_box()
        assert place is not None
        page.mouse.move(place["x"] + 20, place["y"] + 10)
        page.mouse.down()
        page.mouse.move(600, 300, steps=4)
        expect(page.locator(".ghost")).to_be_visible()

        page.keyboard.press("Escape")
        page.mouse.up()

        expect(page.locator(".ghost")).to_have_count(0)
        expect(card(column(page, "todo"), "Paint the fence")).to_be_visible()

    def test_a_card_is_carried_with_the_keyboard_and_it_is_said(self, console: Console, alice: Person) -> None:
        task = alice.create_task(title="Paint the fence")
        page = console.page
        said = page.locator("#announcer")
        card(page, "Paint the fence").get_by_role("link").focus()

        page.keyboard.press("Space")
        expect(said).to_contain_text("“Paint the fence” is picked up.")
        page.keyboard.press("ArrowRight")
        expect(said).to_contain_text("“Paint the fence” is now in “In progress”.")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")
        expect(said).to_contain_text("“Paint the fence” was put down in “Done”.")

        expect(card(column(page, "done"), "Paint the fence").get_by_role("link")).to_be_focused()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["status"] == "done")

    def test_a_move_is_undone_by_the_key(self, console: Console, alice: Person) -> None:
        task = alice.create_task(title="Paint the fence")
        page = console.page
        drag(page, card(page, "Paint the fence"), column(page, "done"))
        expect(card(column(page, "done"), "Paint the fence")).to_be_visible()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["version"] == 2)

        page.keyboard.press("Control+z")

        expect(card(column(page, "todo"), "Paint the fence")).to_be_visible()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["status"] == "todo")

    def test_a_task_is_created_by_keyboard(self, console: Console, alice: Person) -> None:
        page = console.page
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Order slates")
        page.get_by_label("Deadline", exact=True).fill("2030-07-01T09:00")
        page.keyboard.press("Enter")

        expect(card(column(page, "todo"), "Order slates")).to_be_visible()
        wait_until(lambda: titles(alice) == ["Order slates"])
        (task,) = alice.get("/tasks")["items"]
        assert task["due_at"] == "2030-07-01T07:00:00+00:00"

    def test_a_new_task_is_taken_back(self, console: Console, alice: Person) -> None:
        page = console.page
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Order slates")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Task created.")).to_be_visible()

        page.keyboard.press("Control+z")

        expect(card(page, "Order slates")).to_have_count(0)
        wait_until(lambda: titles(alice) == [])

    def test_a_mistake_in_a_new_task_is_shown_at_its_field(self, console: Console) -> None:
        console.expect_error("422")
        page = console.page
        page.keyboard.press("n")
        page.get_by_role("button", name="Create task").click()

        expect(page.get_by_label("Title")).to_have_attribute("aria-invalid", "true")


class TestLive:
    def test_a_change_of_another_person_appears_with_their_name(
        self, console: Console, alice: Person, bob: Person
    ) -> None:
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id)
        page = console.page
        expect(card(page, "Clean the gutters")).to_be_visible()

        patch(bob, f"/tasks/{task['id']}", status="in_progress")

        moved = card(column(page, "in_progress"), "Clean the gutters")
        expect(moved).to_contain_text("Changed by Bob-Baker")

    def test_a_notification_is_counted_as_it_comes(self, console: Console, alice: Person, bob: Person) -> None:
        page = console.page
        bob.create_task(title="Survey the house", assignee_id=alice.id)

        page.get_by_role("link", name="Notifications, 1 unread").click()
        page.get_by_role("link", name=re.compile("Bob Baker gave you the task")).click()

        expect(page.get_by_role("heading", name="Survey the house")).to_be_visible()
        expect(page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()

    def test_a_conflict_shows_both_values_and_lets_choose(self, console: Console, alice: Person, bob: Person) -> None:
        console.expect_error("412")
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id)
        page = console.open(f"tasks/{task['id']}")
        page.get_by_role("button", name="Title: Clean the gutters. Change").click()
        page.get_by_label("Title").fill("Clean all gutters")
        patch(bob, f"/tasks/{task['id']}", title="Clean the north gutters")
        expect(page.get_by_text("Changed by Bob-Baker")).to_be_visible()

        page.keyboard.press("Enter")

        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Bob-Baker")
        expect(dialog).to_contain_text("Clean all gutters")
        expect(dialog).to_contain_text("Clean the north gutters")
        assert alice.get(f"/tasks/{task['id']}")["title"] == "Clean the north gutters"
        dialog.get_by_label("Yours").check()
        dialog.get_by_role("button", name="Save the choice").click()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["title"] == "Clean all gutters")

    def test_changes_of_different_fields_are_both_kept(self, console: Console, alice: Person, bob: Person) -> None:
        console.expect_error("412")
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id)
        page = console.open(f"tasks/{task['id']}")
        page.get_by_role("button", name="Title: Clean the gutters. Change").click()
        page.get_by_label("Title").fill("Clean all gutters")
        patch(bob, f"/tasks/{task['id']}", priority="urgent")
        expect(page.get_by_label("Priority")).to_have_value("urgent")

        page.keyboard.press("Enter")

        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["title"] == "Clean all gutters")
        assert alice.get(f"/tasks/{task['id']}")["priority"] == "urgent"


class TestWithoutAConnection:
    def test_reading_continues_by_itself_after_too_many_requests(self, console: Console, alice: Person) -> None:
        console.expect_error("429")
        statuses: list[int] = []

        def refuse_the_first(route: Route) -> None:
            statuses.append(200 if statuses else 429)
            if statuses == [429]:
                # The real limit would also end the other tests that are under way.
                route.fulfill(status=429, headers={"Retry-After": "1"}, json={"detail": "Come back in 1 s."})
            else:
                route.continue_()

        console.page.route("**/api/v1/analytics?*", refuse_the_first)

        page = console.open("analytics")

        expect(page.get_by_role("region", name="By status")).to_be_visible()
        assert statuses == [429, 200]

    def test_what_is_done_meanwhile_is_sent_once_when_it_is_back(self, console: Console, alice: Person) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        task = alice.create_task(title="Paint the fence")
        page = console.page
        expect(card(page, "Paint the fence")).to_be_visible()
        console.context.set_offline(True)
        expect(page.get_by_role("button", name="Connection: Offline")).to_be_visible()

        drag(page, card(page, "Paint the fence"), column(page, "done"))
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Order slates")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Connection: Offline, 2 unsent")).to_be_visible()
        drag(page, card(page, "Order slates"), column(page, "in_progress"))
        assert titles(alice) == ["Paint the fence"]
        console.context.set_offline(False)

        expect(page.get_by_role("button", name="Connection: Live", exact=True)).to_be_visible()
        wait_until(lambda: alice.get(f"/tasks/{task['id']}")["status"] == "done")
        wait_until(lambda: [t["status"] for t in alice.get("/tasks?q=slates")["items"]] == ["in_progress"])
        expect(card(column(page, "in_progress"), "Order slates")).to_have_count(1)

    def test_a_task_is_not_doubled_when_the_response_is_lost(self, console: Console, alice: Person) -> None:
        console.expect_error("ERR_FAILED")
        lost: list[int] = []

        def lose_the_first_response(route: Route) -> None:
            if route.request.method != "POST" or lost:
                route.continue_()
                return
            lost.append(route.fetch().status)
            route.abort()

        page = console.page
        page.route("**/api/v1/tasks", lose_the_first_response)
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Order slates")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Kept on this device")).to_be_visible()

        expect(page.get_by_role("button", name="Connection: Live", exact=True)).to_be_visible()
        assert lost == [201]
        assert titles(alice) == ["Order slates"]
        expect(card(page, "Order slates")).to_have_count(1)

    def test_missed_events_are_read_after_the_connection_is_back(
        self, console: Console, alice: Person, bob: Person
    ) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id)
        page = console.page
        expect(card(page, "Clean the gutters")).to_be_visible()
        console.context.set_offline(True)
        expect(page.get_by_role("button", name="Connection: Offline")).to_be_visible()
        patch(bob, f"/tasks/{task['id']}", status="done")

        console.context.set_offline(False)

        expect(card(column(page, "done"), "Clean the gutters")).to_contain_text("Changed by Bob-Baker")

    def test_what_waits_survives_that_the_page_is_closed(self, console: Console, alice: Person) -> None:
        console.expect_error("ERR_FAILED")
        page = console.page
        page.route(
            "**/api/v1/tasks", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
        )
        page.keyboard.press("n")
        page.get_by_label("Title").fill("Order slates")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Kept on this device")).to_be_visible()

        page.close()
        console.open(page=console.new_tab())

        wait_until(lambda: titles(alice) == ["Order slates"])

    def test_what_is_refused_later_is_kept_until_it_is_decided(
        self, console: Console, alice: Person, bob: Person
    ) -> None:
        console.expect_error("ERR_FAILED")
        console.expect_error("403")
        task = bob.create_task(title="Survey the house", assignee_id=alice.id)
        page = console.page
        page.route(
            "**/api/v1/tasks/*", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_()
        )
        drag(page, card(page, "Survey the house"), column(page, "done"))
        expect(page.get_by_role("button", name="Connection: Live, 1 unsent")).to_be_visible()
        page.close()
        patch(bob, f"/tasks/{task['id']}", assignee_id=None)

        page = console.open(page=console.new_tab())
        page.get_by_role("button", name="Connection: Live").click()
        expect(page.locator(".waiting-change")).to_contain_text("Refused:")
        page.get_by_role("button", name="Discard").click()

        expect(page.locator(".waiting-change")).to_have_count(0)


class TestList:
    def test_filters_search_and_order_stand_in_the_address(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Clean the gutters", priority="high")
        alice.create_task(title="Clean the windows", priority="low")
        alice.create_task(title="Order slates", priority="high")
        page = console.open("list")
        expect(page.locator(".row-title")).to_have_text(["Order slates", "Clean the windows", "Clean the gutters"])

        page.get_by_label("Any priority").select_option("High")
        page.get_by_role("button", name="Title").click()
        expect(page.locator(".row-title")).to_have_text(["Clean the gutters", "Order slates"])
        page.get_by_label("Search tasks").fill("clean")
        expect(page.locator(".row-title")).to_have_text(["Clean the gutters"])

        assert "priority=high" in page.url
        page.reload()
        expect(page.locator(".row-title")).to_have_text(["Clean the gutters"])
        page.get_by_role("button", name="Clear filters").click()
        expect(page.locator(".row-title")).to_have_count(3)

    def test_several_tasks_are_changed_and_changed_back(self, console: Console, alice: Person) -> None:
        for number in range(3):
            alice.create_task(title=f"Survey house {number}")
        page = console.open("list")
        page.get_by_label("Select all").check()
        bar = page.get_by_role("region", name="Selected tasks")
        expect(bar).to_contain_text("3 selected")

        bar.get_by_label("Priority").select_option("Urgent")
        wait_until(lambda: {task["priority"] for task in alice.get("/tasks")["items"]} == {"urgent"})
        page.get_by_role("status", name="Notices").get_by_role("button", name="Undo").click()

        wait_until(lambda: {task["priority"] for task in alice.get("/tasks")["items"]} == {"medium"})

    def test_a_deletion_is_taken_back(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Order slates")
        page = console.open("list")
        page.get_by_label("Select “Order slates”").check()
        page.get_by_role("button", name="Delete").click()
        expect(page.locator(".row-title")).to_have_count(0)

        page.keyboard.press("Control+z")

        expect(page.locator(".row-title")).to_have_text(["Order slates"])
        assert titles(alice) == ["Order slates"]

    def test_a_long_list_is_read_page_by_page(self, console: Console, alice: Person) -> None:
        operations = [{"op": "create", "task": {"title": f"Survey house {number:02}"}} for number in range(60)]
        alice.post("/tasks/bulk", operations=operations)
        page = console.open("list?sort=title")
        expect(page.locator(".row-title")).to_have_count(50)

        page.get_by_role("button", name="Show more").click()

        expect(page.locator(".row-title")).to_have_text([f"Survey house {number:02}" for number in range(60)])


class TestTask:
    @pytest.fixture
    def page(self, console: Console, alice: Person, bob: Person) -> Page:
        """The page of a task of Alice that is assigned to Bob."""
        task = alice.create_task(title="Clean the gutters", assignee_id=bob.id, due_at="2030-01-01T09:00:00Z")
        return console.open(f"tasks/{task['id']}")

    def test_comments_of_both_people_are_shown(self, page: Page, alice: Person, bob: Person) -> None:
        page.get_by_label("Write a comment").fill("The ladder is in the shed.")
        page.get_by_role("button", name="Comment", exact=True).click()
        expect(page.locator(".comment")).to_contain_text(["The ladder is in the shed."])

        bob.post(f"/tasks/{page.url.rpartition('/')[2]}/comments", body="Thank you!")

        expect(page.locator(".comment")).to_contain_text(["The ladder is in the shed.", "Thank you!"])

    def test_a_file_is_uploaded_and_downloaded(self, page: Page, tmp_path: Path) -> None:
        file = tmp_path / "gutters.txt"
        file.write_text("north side")
        page.locator("input[type=file]").set_input_files(file)
        with page.expect_download() as download:
            page.get_by_role("button", name="gutters.txt", exact=True).click()

        assert Path(download.value.path()).read_text() == "north side"

    def test_a_reminder_a_delegation_and_the_history(self, page: Page) -> None:
        page.get_by_label("Add a reminder").select_option("1 hour before the deadline")
        expect(page.locator(".reminders li")).to_have_count(1)
        page.get_by_role("button", name="Pass on").click()
        page.get_by_label("To whom").select_option("Alice Archer")
        page.get_by_label("Note").fill("You have the ladder.")
        page.get_by_role("dialog").get_by_role("button", name="Pass on").click()

        expect(page.locator(".delegations")).to_contain_text(re.compile(r"Bob-Baker\S* → Alice Archer"))
        expect(page.locator(".history")).to_contain_text("Alice Archer passed the task on")


class TestPages:
    def test_the_figures_are_a_chart_a_table_and_a_file(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence", status="done")
        page = console.open("analytics?days=7")
        expect(page.locator(".chart canvas")).to_be_visible()
        colours = "(markers) => new Set(markers.map((marker) => getComputedStyle(marker).backgroundColor)).size"
        assert page.locator(".u-series:not(:first-child) .u-marker").evaluate_all(colours) == 3, (
            "each series has a colour of its own"
        )
        page.get_by_text("The same as a table").click()
        expect(page.locator(".figures-table tbody tr").first).to_contain_text("1")
        files = {}
        for part in ("By day", "By status", "By person"):
            with page.expect_download() as download:
                page.get_by_role("button", name=f"{part} as CSV").click()
            files[part] = Path(download.value.path()).read_text().splitlines()

        days = files["By day"]
        assert (days[0], len(days), days[-1][10:]) == ("day,created,done,overdue", 8, ",1,1,0")
        assert files["By status"] == ["name,tasks", "todo,0", "in_progress,0", "done,1"]
        assert files["By person"][1].endswith(",1")

        today = date.fromisoformat(page.get_by_label("To", exact=True).input_value())
        expect(page.get_by_label("From", exact=True)).to_have_value(f"{today - timedelta(days=6)}")
        page.get_by_label("From", exact=True).fill(f"{today - timedelta(days=1)}")
        expect(page.locator(".figures-table tbody tr")).to_have_count(2)
        page.get_by_label("To", exact=True).fill(f"{today - timedelta(days=1)}")
        expect(page.get_by_text("Nothing happened in this span")).to_be_visible()
        assert page.url.endswith(
            f"#/analytics?start_date={today - timedelta(days=1)}&end_date={today - timedelta(days=1)}"
        )
        page.reload()
        expect(page.locator(".figures-table tbody tr")).to_have_count(1)
        assert console.violations() == []

        page.get_by_label("From", exact=True).fill(f"{today}")
        expect(page.get_by_role("alert")).to_have_text("Choose 1 to 366 days.")
        page.get_by_label("To", exact=True).fill(f"{today + timedelta(days=365)}")
        expect(page.locator(".figures-table tbody tr")).to_have_count(366)
        page.get_by_label("To", exact=True).fill(f"{today + timedelta(days=366)}")
        expect(page.get_by_role("alert")).to_have_text("Choose 1 to 366 days.")
        page.get_by_role("combobox", name="Span").select_option("Last 30 days")
        expect(page.locator(".figures-table tbody tr")).to_have_count(30)

    def test_a_span_of_figures_is_typed_and_one_that_is_refused_shows_no_other_figures(self, console: Console) -> None:
        for message in ("status of 422", "does not conform"):
            console.expect_error(message)
        page = console.open("analytics?start_date=2025-01-01&end_date=2025-12-31")
        expect(page.locator(".figures-table tbody tr")).to_have_count(365)
        for label, day in (("From", "03032025"), ("To", "05052025")):
            page.get_by_label(label, exact=True).focus()
            page.keyboard.type(day)
            expect(page.get_by_label(label, exact=True)).to_be_focused()
        expect(page.locator(".figures-table tbody tr")).to_have_count(64)

        console.open("analytics?start_date=2025-02-31&end_date=2025-03-31")

        expect(page.get_by_role("alert")).to_contain_text("The request is not valid.")
        expect(page.locator(".figures-table")).to_have_count(0)

    def test_figures_that_come_late_push_nothing_away(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence")
        expect(card(console.page, "Paint the fence")).to_be_visible()
        console.jumped()
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        console.page.route("**/api/v1/analytics/days?*", hold)
        with console.page.expect_response("**/api/v1/analytics?*"):
            page = console.open("analytics")
        console.jumped()

        held[0].continue_()

        expect(page.locator(".chart canvas")).to_be_visible()
        assert not console.jumped()

    def test_a_token_is_made_and_revoked(self, console: Console, system: System) -> None:
        page = console.open("settings")
        page.get_by_role("button", name="New token").click()
        page.get_by_label("Name", exact=True).fill("backup")
        page.get_by_label("Read tasks, groups and notifications").check()
        page.get_by_role("button", name="Create token").click()
        token = page.locator(".secret").inner_text()
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{system.url}/api/v1/tasks", headers=headers, timeout=10).status_code == 200

        page.get_by_role("button", name="Done").click()
        page.get_by_role("button", name="Revoke").click()

        expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
        assert requests.get(f"{system.url}/api/v1/tasks", headers=headers, timeout=10).status_code == 401

    def test_the_profile_decides_the_language(self, console: Console, alice: Person) -> None:
        for language, heading, new_task in (
            ("de", "Tafel", "Neue Aufgabe"),
            ("es", "Tablero", "Nueva tarea"),
            ("fr", "Tableau", "Nouvelle tâche"),
            ("ru", "Доска", "Новая задача"),
        ):
            patch(alice, "/auth/me", locale=language)
            page = console.page
            page.reload()

            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
            expect(page.get_by_role("banner").get_by_role("button", name=new_task)).to_be_visible()
            expect(page.locator("html")).to_have_attribute("lang", language)

    @pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 360)])
    def test_every_page_is_accessible_and_fits(
        self, scheme: str, width: int, open_console: Open, alice: Person, bob: Person
    ) -> None:
        task = alice.create_task(title="Clean the gutters of all houses", assignee_id=bob.id, priority="urgent")
        alice.post(f"/tasks/{task['id']}/comments", body="The ladder is in the shed.")
        console = open_console(viewport={"width": width, "height": 740}, color_scheme=scheme)
        console.open()
        expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
        found = {"sign in": console.violations()}
        console.sign_in(alice)
        for path in [*PAGES, f"tasks/{task['id']}"]:
            page = console.open(path)
            expect(page.locator("h1")).to_be_visible()
            expect(page.locator(".skeleton")).to_have_count(0)
            found[path] = console.violations() + (["it is too wide"] * console.overflows())
            found[path] += ["it has jumped"] * console.jumped()
        for pressed, name in (("n", "New task"), ("?", "Keys")):
            console.page.keyboard.press(pressed)
            expect(console.page.get_by_role("dialog", name=name)).to_be_visible()
            found[name] = console.violations()
            console.page.keyboard.press("Escape")

        assert {path: violations for path, violations in found.items() if violations} == {}

    def test_the_theme_is_chosen_and_kept(self, console: Console) -> None:
        page = console.open("settings")
        page.get_by_label("Dark", exact=True).check()
        page.reload()

        expect(page.get_by_label("Dark", exact=True)).to_be_checked()
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"

    def test_every_page_is_reached_by_its_key(self, console: Console) -> None:
        for pressed, name in (
            ("l", "List"),
            ("a", "Analytics"),
            ("g", "Groups"),
            ("i", "Notifications"),
            ("b", "Board"),
        ):
            console.page.keyboard.press(pressed)
            expect(console.page.get_by_role("heading", name=name, level=1)).to_be_visible()


@pytest.fixture(scope="module")
def function_console(browser: Browser, ada: Person) -> Iterator[Console]:
    """A page of the console in which nobody is signed in."""
    opened = Console(browser, ada.system.url)
    opened.open()
    yield opened
    opened.context.close()


class TestFunctions:
    """Functions of the console whose cases would be tedious to reach by clicks."""

    @pytest.mark.parametrize(
        ("wall", "zone", "instant"),
        [
            ("2026-01-15T09:00", "Europe/Berlin", "2026-01-15T08:00:00.000Z"),
            ("2026-07-15T09:00", "Europe/Berlin", "2026-07-15T07:00:00.000Z"),
            ("2026-07-15T00:30", "Pacific/Auckland", "2026-07-14T12:30:00.000Z"),
            ("2026-11-01T12:00", "America/Los_Angeles", "2026-11-01T20:00:00.000Z"),
            ("2026-07-15T09:00", "Asia/Kathmandu", "2026-07-15T03:15:00.000Z"),
        ],
    )
    def test_a_time_on_the_wall_of_a_zone_is_an_instant(
        self, wall: str, zone: str, instant: str, function_console: Console
    ) -> None:
        assert function_console.call("./times.js", f"m.instantOf('{wall}', '{zone}')") == instant
        assert function_console.call("./times.js", f"m.wallTime('{instant}', '{zone}')") == wall

    def test_only_fields_that_both_have_changed_are_in_conflict(self, function_console: Console) -> None:
        given = "{title: 'a', city: null, due_at: null}, {title: 'b', city: 'Oslo', due_at: '2030-01-01T09:00:00Z'}"
        theirs = "{title: 'c', city: null, due_at: '2030-01-01T10:00:00+01:00'}"

        assert function_console.call("./merge.js", f"m.reconcile({given}, {theirs})") == {
            "left": {"title": "b", "city": "Oslo"},
            "conflicts": ["title"],
        }

    def test_tasks_are_sorted_as_the_api_sorts_them(self, function_console: Console) -> None:
        tasks = (
            "[{id: 1, priority: 'low', due_at: null}, {id: 2, priority: 'urgent', due_at: null},"
            " {id: 3, priority: 'low', due_at: '2030-01-01T09:00:00Z'}]"
        )

        assert function_console.call(
            "./queries.js", f"{tasks}.sort(m.orderBy('-priority,due_at')).map((task) => task.id)"
        ) == [2, 3, 1]

    def test_cells_of_csv_are_quoted(self, function_console: Console) -> None:
        assert function_console.call("./csv.js", """m.csvOf(["a"], [['x,"y"']])""") == 'a\r\n"x,""y"""\r\n'

    @pytest.mark.parametrize(
        ("bytes_", "text"), [(0, "0 byte"), (0.25, "0 byte"), (999, "999 byte"), (1000, "1 kB"), (1.25e9, "1.3 GB")]
    )
    def test_bytes_are_said_in_a_fitting_unit(self, bytes_: float, text: str, function_console: Console) -> None:
        assert function_console.call("./measures.js", f"m.bytesInWords({bytes_})") == text

    def test_a_temperature_that_rounds_to_zero_has_no_sign(self, function_console: Console) -> None:
        assert function_console.call("./units.js", "[-0.4, -0.6].map(m.degrees)") == ["0°C", "-1°C"]

    def test_every_measure_has_a_name_and_a_group(self, function_console: Console) -> None:
        measures = json.dumps([{"name": measure.name} for measure in MEASURES])

        assert (
            function_console.call("./measures.js", f"{measures}.filter(({{ name }}) => m.measureName(name) === name)")
            == []
        )
        assert function_console.call(
            "./measures.js", f"m.groupsOf({measures}).flatMap(({{ members }}) => members).length"
        ) == len(MEASURES)

    def test_a_day_and_a_time_of_a_deadline_are_the_same_matter(self, function_console: Console) -> None:
        base, theirs = "{due_on: null, due_at: null}", "{due_on: null, due_at: '2030-01-01T09:00:00Z'}"

        assert function_console.call("./merge.js", f"m.reconcile({base}, {{due_on: '2030-01-02'}}, {theirs})") == {
            "left": {"due_on": "2030-01-02"},
            "conflicts": ["due_on"],
        }

    def test_a_place_that_the_server_has_filled_in_is_no_conflict(self, function_console: Console) -> None:
        base, theirs = "{place_id: null, city: 'Paris'}", "{place_id: 11, city: 'Paris'}"

        assert function_console.call("./merge.js", f"m.reconcile({base}, {{place_id: 12}}, {theirs})") == {
            "left": {"place_id": 12},
            "conflicts": [],
        }

    def test_warned_tasks_are_sorted_before_those_with_more_rain(self, function_console: Console) -> None:
        tasks = (
            "[{id: 1, weather_state: null, forecast: null}, "
            " {id: 2, weather_state: 'ok', forecast: {rain_probability: 90}},"
            " {id: 3, weather_state: 'warned', forecast: {rain_probability: 5}}]"
        )

        assert function_console.call(
            "./queries.js", f"{tasks}.sort(m.orderBy('-weather_risk')).map((task) => task.id)"
        ) == [3, 2, 1]
