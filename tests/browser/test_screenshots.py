"""Makes the pictures of the documents, from the demonstration."""

import base64
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    tokens: dict[str, str] = field(default_factory=dict)

    def sign_in(self, console: Console, email: str) -> None:
        """Sign in as one of its people."""
        page = console.open()
        page.get_by_label("Email or username").fill(email)
        page.get_by_label("Password").fill(self.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()

    def busy_task(self, email: str) -> int:
        """Return the id of the task with the most to see of those that a person works on: it has most comments."""
        person = self._get(email, "auth/me")
        # Each person may make 100 requests a minute, and this person will need them.
        admin = "ada@example.com"
        tasks = self._get(admin, f"tasks?assignee_id={person['id']}&status=todo,in_progress&limit=100")["items"]
        expected = [task["id"] for task in tasks if task["forecast"] and task["description"]]
        return max(expected[:50], key=lambda task_id: int(self._get(admin, f"tasks/{task_id}/comments")["total"]))

    def _get(self, email: str, path: str) -> Any:
        if email not in self.tokens:
            login = {"email": email, "password": self.password}
            response = requests.post(f"{self.url}/api/v1/auth/login", json=login, timeout=10)
            self.tokens[email] = response.json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[email]}"}
        return requests.get(f"{self.url}/api/v1/{path}", headers=headers, timeout=10).json()


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[Demonstration]:
    port = free_port()
    environ = os.environ | {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
        "FLOWER_PORT": str(free_port()),
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
    for scheme, ending, email in (("light", "", "grace@example.com"), ("dark", "-dark", "ingrid@example.com")):
        task_id = demonstration.busy_task(email)
        for size, (width, height) in SIZES.items():
            pattern = f"{directory}/{{}}{size}{ending}.webp"
            console = Console(
                browser, demonstration.url, viewport={"width": width, "height": height}, color_scheme=scheme
            )
            console.open()
            expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
            take(console.page, Path(pattern.format("sign-in")))
            demonstration.sign_in(console, email)
            take_page(console, "board", '[data-status="done"] .card', pattern.format("board"))
            take_page(console, "list", ".row-title", pattern.format("list"))
            take_page(console, f"tasks/{task_id}", ".comment", pattern.format("task"))
            take_page(console, "analytics", ".chart canvas", pattern.format("analytics"))
            console.context.close()


def take_page(console: Console, path: str, shown: str, picture: str) -> None:
    """Write a picture of a page when what it shows is there."""
    page = console.open(path)
    page.mouse.move(0, 0)
    expect(page.locator(shown).first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    take(page, Path(picture))
