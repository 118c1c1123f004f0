"""Makes the pictures of the documents, from the tasks of a small company."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.console import Console, Open
from tests.e2e.people import Person
from tests.polling import wait_until

# Title, status, priority, days until the deadline, city, and whether it is Bob's.
TASKS: list[tuple[str, str, str, int | None, str | None, bool]] = [
    ("Clean the gutters of the chapel", "todo", "high", 1, "London", True),
    ("Order slates for Mill Lane", "todo", "urgent", -1, None, False),
    ("Measure the dormer", "todo", "medium", 3, "Oslo", False),
    ("Renew the insurance of the van", "todo", "medium", 20, None, True),
    ("Call the scaffolders", "todo", "low", None, None, True),
    ("Replace the cracked skylight over the stairs", "in_progress", "high", 0, "Berlin", False),
    ("Paint the fence", "in_progress", "medium", 2, "Paris", True),
    ("Write the offer for the school", "in_progress", "medium", 5, None, False),
    ("Photograph the valley flashing", "done", "medium", -4, "Madrid", True),
    ("Fetch the ladder", "done", "medium", -2, None, False),
    ("Sharpen the tools", "done", "low", None, None, True),
]


@pytest.fixture
def task_id(alice: Person, bob: Person, group: int) -> int:
    """The id of the first task, which has comments and a file; the others exist, too."""
    now = datetime.now(UTC)
    made = [alice.post("/tasks", **fields(alice, bob, group, now, row)) for row in TASKS]
    first: int = made[0]["id"]
    bob.post(f"/tasks/{first}/comments", body="The long ladder is in the shed.")
    alice.post(f"/tasks/{first}/comments", body="Thank you! I bring the bucket and two pairs of gloves.")
    alice.post(f"/tasks/{first}/reminders", seconds_before_due=3600)
    upload = f"{alice.system.url}/api/v1/tasks/{first}/attachments"
    requests.post(upload, files={"file": ("gutters.txt", b"x" * 48_213)}, headers=alice.headers, timeout=10)
    wait_until(lambda: alice.get(f"/tasks/{first}")["weather_status"] == "ready")
    return first


def fields(alice: Person, bob: Person, group: int, now: datetime, row: tuple[Any, ...]) -> dict[str, Any]:
    title, status, priority, days, city, is_bobs = row
    optional = {
        "due_at": None if days is None else (now + timedelta(days=days, hours=2)).isoformat(),
        "city": city,
        "description": "The north side first: moss has closed the downpipe.\nMind the wires."
        if city == "London"
        else None,
    }
    return {
        "title": title, "status": status, "priority": priority, "group_id": group,
        "assignee_id": bob.id if is_bobs else alice.id,
    } | {name: value for name, value in optional.items() if value is not None}  # fmt: skip


def take(page: Page, path: Path) -> None:
    """Write a picture of the window as WebP, which Playwright itself cannot do."""
    session = page.context.new_cdp_session(page)
    # Playwright would wait for this by itself; Chromium alone does not.
    page.evaluate("document.fonts.ready")
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
    path.write_bytes(base64.b64decode(picture["data"]))


def test_screenshots(open_console: Open, alice: Person, bob: Person, task_id: int, pytestconfig: pytest.Config) -> None:
    directory: Path = pytestconfig.getoption("--screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    for size, width, height in (("", 1280, 800), ("-phone", 360, 740)):
        for scheme, ending in (("light", ""), ("dark", "-dark")):
            console = open_console(viewport={"width": width, "height": height}, color_scheme=scheme)
            take_all(console, alice, task_id, f"{directory}/{{}}{size}{ending}.webp")


def take_all(console: Console, alice: Person, task_id: int, pattern: str) -> None:
    """Write a picture of each page; `pattern` is the path with `{}` for the name of the page."""
    console.open()
    expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
    take(console.page, Path(pattern.format("sign-in")))
    console.sign_in(alice)
    for name, path, shown in (
        ("board", "board", '[data-status="done"] .card'),
        ("list", "list", ".row-title"),
        ("task", f"tasks/{task_id}", ".comment"),
        ("analytics", "analytics", ".chart canvas"),
    ):
        page = console.open(path)
        expect(page.locator(shown).first).to_be_visible()
        expect(page.locator(".skeleton")).to_have_count(0)
        take(page, Path(pattern.format(name)))
