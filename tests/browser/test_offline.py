"""The console without a connection: the service worker, and changes that wait while pages are closed and opened."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import requests
from falcon.asgi import App
from playwright.sync_api import Browser, Page, Response, expect

from api.console import files, resources
from api.http.resource import Services
from core.config import Settings
from tests.api.callers import LiveServer
from tests.browser.console import Console, Open, card
from tests.e2e.people import Person
from tests.polling import wait_until

KEPT = """async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    const requests = await Promise.all(caches_.map((cache) => cache.keys()));
    return requests.map((each) => each.map(({ url }) => new URL(url).pathname));
}"""

# The state in which a new worker ends: "redundant" if it could not be installed.
UPDATED = """async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.update();
    const worker = registration.installing;
    await new Promise((done) => (worker.onstatechange = () => worker.state === "installing" || done()));
    return worker.state;
}"""

# What the console keeps of somebody who is signed in, as far as the head of the page shows it.
SIGNED_IN = {"id": 1, "username": "alice", "full_name": "Alice Archer", "role": "user"}


def wait_for_worker(page: Page) -> None:
    """Wait until the console has been kept, as it is soon after a first visit."""
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")


@pytest.fixture
def console(open_console: Open, alice: Person) -> Console:
    """The console with its service worker, in which Alice is signed in."""
    opened = open_console(service_workers="allow")
    opened.sign_in(alice)
    return opened


def create_task(page: Page, title: str) -> None:
    page.locator(".head").get_by_role("button", name="New task").click()
    page.get_by_label("Title").fill(title)
    page.keyboard.press("Enter")


class TestAnAccount:
    """Alice goes on without a connection."""

    def test_what_waits_survives_reloads_and_is_sent_once(self, console: Console, alice: Person) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        page = console.page
        wait_for_worker(page)
        console.context.set_offline(True)
        create_task(page, "Order slates")
        expect(page.get_by_role("button", name="Connection: Offline, 1 unsent")).to_be_visible()

        page.reload()
        expect(card(page, "Order slates")).to_be_visible()
        create_task(page, "Paint the fence")
        expect(page.get_by_role("button", name="Connection: Offline, 2 unsent")).to_be_visible()
        assert console.violations() == []
        page.reload()
        expect(page.get_by_role("button", name="Connection: Offline, 2 unsent")).to_be_visible()
        assert alice.get("/tasks")["items"] == []
        console.context.set_offline(False)

        expect(page.get_by_role("button", name="Connection: Live", exact=True)).to_be_visible()
        expect(page.locator(".card:not(.ghost)")).to_have_count(2)
        assert sorted(task["title"] for task in alice.get("/tasks")["items"]) == ["Order slates", "Paint the fence"]
        expect(page.get_by_text("cannot be reached")).to_have_count(0)

    @pytest.mark.parametrize("path", ["list", "notifications"])
    def test_what_could_not_be_read_is_read_when_the_connection_is_back(self, path: str, console: Console) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        page = console.page
        console.context.set_offline(True)
        console.open(path)
        expect(page.get_by_text("cannot be reached")).to_be_visible()
        assert console.violations() == []

        console.context.set_offline(False)

        expect(page.locator(".empty")).to_be_visible()
        expect(page.get_by_text("cannot be reached")).to_have_count(0)

    def test_a_session_that_ended_meanwhile_ends_here_and_its_changes_wait(
        self, console: Console, alice: Person
    ) -> None:
        console.expect_error("ERR_INTERNET_DISCONNECTED")
        console.expect_error("401")
        page = console.page
        wait_for_worker(page)
        console.context.set_offline(True)
        page.reload()
        create_task(page, "Order slates")
        expect(page.get_by_role("button", name="Connection: Offline, 1 unsent")).to_be_visible()
        requests.post(f"{alice.system.url}/api/v1/auth/logout_all", headers=alice.headers, timeout=10)

        console.context.set_offline(False)
        expect(page.get_by_text("Your session has ended.")).to_be_visible()
        console.sign_in(alice)

        expect(card(page, "Order slates")).to_have_count(1)
        alice_again = Person(alice.system, email=alice.email)
        wait_until(lambda: [task["title"] for task in alice_again.get("/tasks")["items"]] == ["Order slates"])

    def test_signing_out_leaves_nothing_of_the_account(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence")
        page = console.page
        expect(card(page, "Paint the fence")).to_be_visible()
        page.get_by_role("button", name="Account of").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You have signed out.")).to_be_visible()

        assert set(page.evaluate("Object.keys(localStorage)")) <= {"allweather.language", "allweather.theme"}

    def test_the_worker_answers_for_nothing_but_the_console(self, console: Console, alice: Person) -> None:
        alice.create_task(title="Paint the fence")
        page = console.page
        wait_for_worker(page)
        answered: list[Response] = []

        def note(response: Response) -> None:
            answered.append(response)

        page.on("response", note)
        page.reload()
        expect(card(page, "Paint the fence")).to_be_visible()
        (kept,) = page.evaluate(KEPT)
        page.goto(f"{console.url}/docs")
        page.goto(f"{console.url}/api/v1/openapi.json")

        def paths(is_by_worker: bool) -> set[str]:
            return {urlsplit(each.url).path for each in answered if each.from_service_worker is is_by_worker}

        assert "/" in paths(is_by_worker=True)
        assert [path for path in paths(is_by_worker=True) if path != "/" and not path.startswith("/console/")] == []
        assert {"/docs", "/api/v1/auth/refresh", "/api/v1/tasks"} <= paths(is_by_worker=False)
        assert [path for path in kept if path != "/" and not path.startswith("/console/")] == []


class Installation:
    """A server of the console alone, whose release can be replaced, and which can fail."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root, self._monkeypatch = root, monkeypatch
        self._app = self._next = self._build()
        self._is_next: Callable[[str], bool] = lambda _path: False
        self.failure: int | None = None
        """The status of all responses, or 0 if there is no response at all."""

    def _build(self, **settings: Any) -> App:
        release = files.console.__wrapped__()
        self._monkeypatch.setattr(resources, "console", lambda: release)
        app = App()
        facts = Settings(secret_key="x" * 32, database_url="-", redis_url="-", **settings)
        for route in resources.routes(facts):
            app.add_route(route.path, route.resource(cast("Services", SimpleNamespace(settings=facts))))
        return app

    def release(self, **settings: Any) -> None:
        """Replace the console by what its files are now."""
        self._app = self._build(**settings)

    def begin_release(self, is_next: Callable[[str], bool]) -> None:
        """Let a new process answer for some paths, and an old one still for all others."""
        self._next, self._is_next = self._build(), is_next

    def edit(self, path: str, old: str, new: str) -> None:
        """Change one of the files."""
        text = (self._root / path).read_text("utf-8")
        assert old in text
        (self._root / path).write_text(text.replace(old, new), "utf-8")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or self.failure is None:
            app = self._next if self._is_next(scope.get("path", "")) else self._app
            await app(scope, receive, send)
            return
        if self.failure == 0:
            await receive()  # The request.
            await receive()  # The client has left.
            return
        await send({"type": "http.response.start", "status": self.failure, "headers": []})
        await send({"type": "http.response.body", "body": b"failed"})


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    root = tmp_path / "console"
    shutil.copytree(files.ROOT, root)
    monkeypatch.setattr(files, "ROOT", root)
    return Installation(root, monkeypatch)


@pytest.fixture
def visitor(browser: Browser, installation: Installation) -> Iterator[Console]:
    """The console of this installation, in which nobody is signed in, after a first visit."""
    with LiveServer(installation) as server:
        console = Console(browser, server.url, service_workers="allow")
        wait_for_worker(console.open())
        yield console
        errors = console.unexpected_errors()
        console.context.close()
    assert errors == []


class TestReleases:
    def test_a_new_release_replaces_the_kept_one(self, visitor: Console, installation: Installation) -> None:
        page = visitor.page
        (before,) = page.evaluate(KEPT)
        installation.edit("web/js/pages/sign_in.js", "Tasks, people and the weather", "A newer release")
        installation.release()

        page.reload()

        expect(page.get_by_text("A newer release")).to_be_visible()

        def replacement() -> list[str] | None:
            kept: list[list[str]] = page.evaluate(KEPT)
            return kept[0] if len(kept) == 1 and kept != [before] else None

        after = wait_until(replacement)
        assert len(after) == len(before)
        assert set(after) & set(before) == {"/"}
        visitor.context.set_offline(True)
        page.reload()
        expect(page.get_by_text("A newer release")).to_be_visible()

    @pytest.mark.parametrize(
        "is_new",
        [lambda path: path != "/", lambda path: path in {"/", "/console/worker.js"}],
        ids=["the page is old", "the files are old"],
    )
    def test_a_new_worker_keeps_nothing_of_an_old_process(
        self, is_new: Callable[[str], bool], visitor: Console, installation: Installation
    ) -> None:
        installation.edit("web/js/pages/sign_in.js", "Tasks, people and the weather", "A newer release")
        installation.begin_release(is_new)

        assert visitor.page.evaluate(UPDATED) == "redundant"

        visitor.context.set_offline(True)
        visitor.page.reload()
        expect(visitor.page.get_by_text("Tasks, people and the weather")).to_be_visible()

    @pytest.mark.parametrize("failure", [503, 0], ids=["unavailable", "silent"])
    def test_the_console_opens_when_the_server_fails(
        self, failure: int, visitor: Console, installation: Installation
    ) -> None:
        visitor.expect_error("503")
        visitor.page.evaluate(f"localStorage.setItem('allweather.profile', '{json.dumps(SIGNED_IN)}')")
        installation.failure = failure

        visitor.page.reload()

        expect(visitor.page.get_by_role("heading", name="Board")).to_be_visible()

    def test_nothing_stays_when_the_console_is_switched_off(self, visitor: Console, installation: Installation) -> None:
        visitor.expect_error("404")
        installation.release(console=False)
        page = visitor.page

        response = page.reload()

        assert response is not None
        assert response.status == 404
        wait_until(lambda: page.evaluate(KEPT) == [])
        assert page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
