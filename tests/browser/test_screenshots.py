"""Makes the pictures of the documents, from the demonstration."""

import base64
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import Console
from tests.e2e.system import PROJECT
from tests.polling import wait_until
from tests.processes import free_port

START_SECONDS = 90
SIZES = {"": (1280, 800), "-phone": (360, 740)}


@dataclass(frozen=True)
class Demonstration:
    """A running demonstration, and the password of its people."""

    url: str
    password: str

    def sign_in(self, console: Console, email: str) -> None:
        """Sign in as one of its people."""
        page = console.open()
        page.get_by_label("Email or username").fill(email)
        page.get_by_label("Password").fill(self.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()

    def busy_task(self, email: str) -> int:
        """Return the id of the task with the most to see: it has a forecast, and most comments."""
        api = f"{self.url}/api/v1"
        token = requests.post(f"{api}/auth/login", json={"email": email, "password": self.password}, timeout=10).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        tasks = requests.get(f"{api}/tasks?status=todo,in_progress&limit=100", headers=headers, timeout=10).json()
        expected = [task["id"] for task in tasks["items"] if task["forecast"] and task["description"]]

        def comments(task_id: int) -> int:
            found = requests.get(f"{api}/tasks/{task_id}/comments", headers=headers, timeout=10).json()
            return int(found["total"])

        return max(expected[:30], key=comments)


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[Demonstration]:
    port = free_port()
    environ = os.environ | {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
        "FLOWER_PORT": str(free_port()),
        "RATE_LIMIT": "100000/minute",
    }
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "demo"], cwd=PROJECT, env=environ, stdout=file, stderr=file
        )
    try:
        found = wait_until(lambda: re.search(r"Password\s+(\S+)\n", output.read_text()), START_SECONDS)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url), START_SECONDS)
        yield Demonstration(url, found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_SECONDS)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/ready", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def take(page: Page, path: Path) -> None:
    """Write a picture of the window as WebP, which Playwright itself cannot do."""
    session = page.context.new_cdp_session(page)
    # Playwright would wait for this by itself; Chromium alone does not.
    page.evaluate("document.fonts.ready")
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
    path.write_bytes(base64.b64decode(picture["data"]))


def test_screenshots(browser: Browser, demonstration: Demonstration, pytestconfig: pytest.Config) -> None:
    directory: Path = pytestconfig.getoption("--screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    task_id = demonstration.busy_task("grace@example.com")
    for size, (width, height) in SIZES.items():
        for scheme, ending in (("light", ""), ("dark", "-dark")):
            pattern = f"{directory}/{{}}{size}{ending}.webp"
            options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            grace = Console(browser, demonstration.url, **options)
            grace.open()
            expect(grace.page.get_by_role("heading", name="Sign in")).to_be_visible()
            take(grace.page, Path(pattern.format("sign-in")))
            demonstration.sign_in(grace, "grace@example.com")
            take_page(grace, "board", '[data-status="done"] .card', pattern.format("board"))
            take_page(grace, "list", ".row-title", pattern.format("list"))
            take_page(grace, f"tasks/{task_id}", ".comment", pattern.format("task"))
            take_page(grace, "analytics", ".chart canvas", pattern.format("analytics"))
            grace.context.close()


def take_page(console: Console, path: str, shown: str, picture: str) -> None:
    """Write a picture of a page when what it shows is there."""
    page = console.open(path)
    page.mouse.move(0, 0)
    expect(page.locator(shown).first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    take(page, Path(picture))
