"""A running system, a browser, and people who use the console."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.console import Console, Open
from tests.e2e.fixtures import weather
from tests.e2e.people import Person
from tests.e2e.system import ADMIN, System
from tests.polling import wait_until

__all__ = ["weather"]

# For each window Chromium would load two pages of its own, which it shows below its address bar. They take as much
# processor time as the console itself. It obeys only the last list of features, so that of Playwright has no effect;
# nothing in that list is about pages from this machine.
_NO_PAGES_OF_THE_ADDRESS_BAR = "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Make screenshots only if they are asked for."""
    is_wanted = config.getoption("--screenshots") is not None
    return True if collection_path.name == "test_screenshots.py" and not is_wanted else None


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium on this machine, so the console is not tested in a browser")
    return path


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser. While Playwright is in use its event loop runs, and then no test elsewhere could run one."""
    with sync_playwright() as playwright:
        # Containers run as root, for whom Chromium has no sandbox; the pages are our own.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=[_NO_PAGES_OF_THE_ADDRESS_BAR, *sandbox])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def ada(chromium: str, system: System) -> Person:
    """An admin. The browser comes first, because without one the system need not be started."""
    login = f"{system.url}/api/v1/auth/login"
    # The account is made after the start, beside the first requests.
    wait_until(lambda: requests.post(login, json=ADMIN, timeout=10).status_code == 200)
    return Person(system, email=ADMIN["email"], password=ADMIN["password"])


def named(system: System, name: str, group_id: int | None, ada: Person) -> Person:
    """Register a person with readable names, and put them into a group. Others of the group see the username."""
    person = Person(system)
    profile = {"full_name": name, "locale": "en", "timezone": "Europe/Berlin"}
    username = name.replace(" ", "-")
    # Usernames are unique, so only the first person of a name has it as it is.
    for free in (username, f"{username}-{person.id}"):
        response = requests.patch(
            f"{system.url}/api/v1/auth/me", json=profile | {"username": free}, headers=person.headers, timeout=10
        )
        if response.status_code == 200:
            break
    path = f"{system.url}/api/v1/groups/{group_id}/members/{person.id}"
    requests.put(
        path, json={"is_manager": name.startswith("Alice")}, headers=ada.headers, timeout=10
    ).raise_for_status()
    return person


@pytest.fixture
def group(ada: Person) -> int:
    """The id of a new group."""
    made: int = ada.post("/groups", name="Roofers")["id"]
    return made


@pytest.fixture
def alice(system: System, ada: Person, group: int) -> Person:
    return named(system, "Alice Archer", group, ada)


@pytest.fixture
def bob(system: System, ada: Person, group: int) -> Person:
    return named(system, "Bob Baker", group, ada)


@pytest.fixture
def open_console(browser: Browser, system: System) -> Iterator[Open]:
    """A function that opens the console in a browser of its own. No page may log an error that is not expected."""
    opened: list[Console] = []

    def open_one(**options: object) -> Console:
        opened.append(Console(browser, system.url, **options))
        return opened[-1]

    yield open_one
    errors = [error for console in opened for error in console.unexpected_errors()]
    for console in opened:
        console.context.close()
    assert errors == []


@pytest.fixture
def console(open_console: Open, alice: Person) -> Console:
    """The console, in which Alice is signed in."""
    opened = open_console()
    opened.sign_in(alice)
    return opened
