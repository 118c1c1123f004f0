"""The console in a browser, as one person uses it. Every page is watched: what should never happen fails the test."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.people import PASSWORD, Person

# The machine may be busy with other tests.
expect.set_options(timeout=20_000)

_AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Adds up by how much elements move that somebody may be reading, as browsers measure it: 0.1 and less is good.
_WATCH_JUMPS = """
window.jumps = 0;
const add = (shifts) => {
    // What comes within half a second of an input does not count elsewhere, but tests are as fast as that.
    for (const shift of shifts) window.jumps += shift.value;
};
const observer = new PerformanceObserver((list) => add(list.getEntries()));
observer.observe({ type: "layout-shift", buffered: true });
window.takeJumps = async () => {
    // A frame has to end before what has moved in it is known.
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    await new Promise((resolve) => setTimeout(resolve));
    add(observer.takeRecords());
    const jumps = window.jumps;
    window.jumps = 0;
    return jumps;
};
"""
_LARGEST_JUMP = 0.05


class Console:
    """The tabs of one browser, with everything that they have logged as an error."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        # In each new browser the service worker would read all files once more, which only its own tests need.
        settings = {
            "locale": "en-GB", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce", "service_workers": "block",
        } | options  # fmt: skip
        self.context: BrowserContext = browser.new_context(**settings)
        self.context.set_default_timeout(20_000)
        self.context.add_init_script(_WATCH_JUMPS)
        self.errors: list[str] = []
        # A worker may add the weather to a task while a test changes it. Then the console merges both changes and sends
        # its own again, but the browser logs the refusal of the first attempt.
        self._expected: list[str] = ["status of 412", "registration blocked by Playwright"]
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("request", self._note_request)
        return page

    def expect_error(self, pattern: str) -> None:
        """Say that the browser will log an error, such as the status of a response that the test provokes."""
        self._expected.append(pattern)

    def unexpected_errors(self) -> list[str]:
        return [error for error in self.errors if not any(re.search(pattern, error) for pattern in self._expected)]

    def open(self, path: str = "board", page: Page | None = None) -> Page:
        """Open a page of the console."""
        page = page or self.page
        page.goto(f"{self.url}/#/{path}")
        return page

    def sign_in(self, person: Person, path: str = "board") -> Page:
        """Sign in as people do, and return the page."""
        page = self.open(path)
        page.get_by_label("Email or username").fill(person.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Connection: Live")).to_be_visible()
        return page

    def violations(self) -> list[str]:
        """Return what axe finds on the page."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE)
        options = {"runOnly": _RULES, "resultTypes": ["violations"]}
        found = self.page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
        return [
            f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]
        ]

    def overflows(self) -> bool:
        """Return whether the page is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def jumped(self) -> bool:
        """Return whether the layout of the page has jumped since this was asked before."""
        return float(self.page.evaluate("window.takeJumps()")) > _LARGEST_JUMP

    def call(self, module: str, expression: str) -> Any:
        """Return the value of an expression that uses `m`, a module of the console."""
        script = """async ([module, expression]) => {
            const main = document.querySelector('script[type=module]').src;
            const m = await import(new URL(module, main));
            return await CALLS[expression](m);
        }"""
        # The policy of the page forbids `eval`, so the expression is a part of the script itself.
        return self.page.evaluate(script.replace("CALLS[expression]", f"((m) => ({expression}))"), [module, expression])

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _note_request(self, request: Request) -> None:
        if request.url.startswith("blob:"):
            return
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.errors.append(f"request to another host: {request.url}")


Open = Callable[..., Console]


def column(page: Page, status: str) -> Locator:
    """The column of the board for a status."""
    return page.locator(f'[data-status="{status}"]')


def card(page: Page, title: str) -> Locator:
    """The card of a task on the board."""
    return page.locator(".card:not(.ghost)", has_text=title)


def drag(page: Page, what: Locator, to: Locator) -> None:
    """Drag something with the mouse, in several steps."""
    begin, end = what.bounding_box(), to.bounding_box()
    assert begin is not None
    assert end is not None
    page.mouse.move(begin["x"] + 30, begin["y"] + 15)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + 60, steps=6)
    page.mouse.up()
