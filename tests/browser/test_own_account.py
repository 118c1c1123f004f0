"""The account itself, in the settings of the console: its data as a file, and its deletion."""

import json
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.console import Console, Open
from tests.e2e.people import PASSWORD, Person
from tests.e2e.system import ADMIN


def ask_for_deletion(page: Page) -> Locator:
    page.get_by_role("button", name="Delete my account").click()
    return page.get_by_role("dialog", name="Delete your account?")


def delete(dialog: Locator, password: str) -> None:
    dialog.get_by_label("Present password").fill(password)
    dialog.get_by_role("button", name="Delete my account").click()


class TestExport:
    def test_the_file_has_ones_own_tasks(self, console: Console, alice: Person, bob: Person, tmp_path: Path) -> None:
        alice.create_task(title="Paint the fence")
        bob.create_task(title="Clean the gutters", assignee_id=alice.id)
        page = console.open("settings")

        with page.expect_download() as download:
            page.get_by_role("button", name="Save my data").click()

        download.value.save_as(tmp_path / "export")
        exported = json.loads((tmp_path / "export").read_bytes())
        assert download.value.suggested_filename == "allweather-export.json"
        assert exported["profile"]["email"] == alice.email
        assert [task["title"] for task in exported["tasks"]] == ["Paint the fence"]

    def test_what_prevents_it_is_told(self, console: Console) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        page = console.open("settings")
        expect(page.get_by_text("this one")).to_be_visible()
        console.context.set_offline(True)

        page.get_by_role("button", name="Save my data").click()

        expect(page.locator(".notice", has_text="cannot be reached")).to_be_visible()
        expect(page.get_by_role("button", name="Save my data")).to_be_enabled()


class TestDeletion:
    def test_it_needs_the_password_and_ends_everything(self, console: Console, alice: Person, bob: Person) -> None:
        console.expect_error("401")
        console.expect_error("422")
        alice.create_task(title="Paint the fence")
        shared = bob.create_task(title="Clean the gutters", assignee_id=alice.id)
        page, other_tab = console.open("settings"), console.open(page=console.new_tab())
        expect(other_tab.get_by_role("heading", name="Board")).to_be_visible()

        dialog = ask_for_deletion(page)
        expect(dialog).to_contain_text("This cannot be undone.")
        assert console.violations() == []
        delete(dialog, "a wrong password")
        expect(dialog.get_by_label("Present password")).to_have_attribute("aria-invalid", "true")
        assert alice.get("/auth/me")["email"] == alice.email
        delete(dialog, PASSWORD)

        expect(page.get_by_text("Your account was deleted.")).to_be_visible()
        expect(other_tab.get_by_role("heading", name="Sign in")).to_be_visible()
        assert console.context.cookies() == []
        assert set(page.evaluate("Object.keys(localStorage)")) <= {"allweather.language", "allweather.theme"}
        page.get_by_label("Email or username").fill(alice.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("password")
        assert bob.get(f"/tasks/{shared['id']}")["assignee_id"] is None

    def test_it_can_be_cancelled(self, console: Console, alice: Person) -> None:
        page = console.open("settings")
        dialog = ask_for_deletion(page)
        dialog.get_by_label("Present password").fill(PASSWORD)
        dialog.get_by_role("button", name="Cancel").click()

        expect(dialog).to_have_count(0)
        assert alice.get("/auth/me")["email"] == alice.email

    def test_who_has_tried_too_often_is_told_to_wait(self, console: Console) -> None:
        console.expect_error("429")
        page = console.open("settings")
        problem = {"status": 429, "code": "login_delayed", "detail": "Please wait before the next."}
        # The delay of the server may be over before the browser sends the password.
        page.route("**/users/me/delete", lambda route: route.fulfill(status=429, json=problem))
        dialog = ask_for_deletion(page)
        delete(dialog, PASSWORD)

        expect(dialog.get_by_role("alert")).to_have_text("Please wait before the next.")
        expect(dialog.get_by_role("button", name="Delete my account")).to_be_enabled()

    def test_the_last_admin_is_told_to_make_another_one(self, open_console: Open, ada: Person) -> None:
        console = open_console()
        console.expect_error("409")
        page = console.open("settings")
        page.get_by_label("Email or username").fill(ada.email)
        page.get_by_label("Password").fill(ADMIN["password"])
        page.get_by_role("button", name="Sign in").click()
        dialog = ask_for_deletion(page)
        delete(dialog, ADMIN["password"])

        expect(dialog.get_by_role("alert")).to_contain_text("This is the last admin")
