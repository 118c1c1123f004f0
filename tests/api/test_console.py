"""The console over HTTP: its page, its files, how they are cached, and that it can be switched off."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable

import pytest
import requests

from api.console.resources import POLICY, WORKER_POLICY
from core.config import Settings
from core.policy import Actor
from tests.api.callers import Caller, assert_problem

FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture
def page(anybody: Caller) -> requests.Response:
    return anybody.get("/")


@pytest.fixture
def main(page: requests.Response) -> str:
    """The address of the first script."""
    return re.findall(r'<script type="module" src="([^"]+)"', page.text)[0]


def test_the_page_is_served_with_a_strict_policy(page: requests.Response) -> None:
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["Cache-Control"] == "no-cache"
    assert "unsafe" not in POLICY


def test_everything_that_the_page_names_is_served_and_kept_for_ever(page: requests.Response, anybody: Caller) -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    responses = {address: anybody.get(address) for address in named}

    assert len(named) > 30
    assert {address: r.status_code for address, r in responses.items() if r.status_code != 200} == {}
    assert {r.headers["Cache-Control"] for r in responses.values()} == {FOR_EVER}
    assert {r.headers["X-Content-Type-Options"] for r in responses.values()} == {"nosniff"}


def test_the_worker_names_what_it_keeps(page: requests.Response, anybody: Caller) -> None:
    script = anybody.get("/console/worker.js").text
    release = json.loads(script.splitlines()[0].removeprefix("const RELEASE = ").removesuffix(";"))
    files = {f"{release['base']}/{path}" for path in release["files"]}

    assert release["page"] == "sha256-" + base64.b64encode(hashlib.sha256(page.content).digest()).decode()
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page.text)) < files
    assert {anybody.get(address).headers["Cache-Control"] for address in files} == {FOR_EVER}


def test_the_worker_is_checked_at_each_visit_and_may_control_the_page(anybody: Caller) -> None:
    worker = anybody.get("/console/worker.js")

    assert worker.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert worker.headers["Cache-Control"] == "no-cache"
    assert worker.headers["Service-Worker-Allowed"] == "/"
    assert worker.headers["Content-Security-Policy"] == WORKER_POLICY
    assert "unsafe" not in WORKER_POLICY


def test_the_worker_is_another_one_when_only_the_page_is(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor, anybody: Caller
) -> None:
    invited = client_with_settings(settings.model_copy(update={"registration": "invite"}))(alice)

    assert invited.get("/console/worker.js").content != anybody.get("/console/worker.js").content


def test_a_file_is_sent_compressed_to_those_who_accept_it(main: str, anybody: Caller) -> None:
    plain = anybody.get(main, headers={"Accept-Encoding": "identity"})
    small = anybody.get(main, headers={"Accept-Encoding": "gzip"}, stream=True)

    assert plain.headers.get("Content-Encoding") is None
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.raw.read(decode_content=False)) == plain.content
    assert small.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in small.headers["Vary"]


@pytest.mark.parametrize("path", ["/", "main"])
def test_a_file_that_the_browser_has_is_not_sent_again(path: str, main: str, anybody: Caller) -> None:
    address = main if path == "main" else path
    etag = anybody.get(address).headers["ETag"]

    again = anybody.get(address, headers={"If-None-Match": etag})

    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)


def test_a_file_of_another_version_is_sent_but_not_kept(main: str, anybody: Caller) -> None:
    response = anybody.get(re.sub(r"^/console/\w+/", "/console/another/", main))

    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path", ["web/js/nothing.js", "vendor/packages.json", "../files.py", "%2e%2e/files.py", "web/index.html", ""]
)
def test_only_the_files_of_the_console_are_served(path: str, main: str, anybody: Caller) -> None:
    version = main.split("/")[2]

    assert_problem(anybody.get(f"/console/{version}/{path}"), 404, "route_not_found")


def test_files_do_not_use_up_the_requests_of_an_address(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor
) -> None:
    anybody = client_with_settings(settings.model_copy(update={"rate_limit": "2/minute"}))(alice).without_token()

    statuses = [anybody.get("/").status_code for _ in range(5)]

    assert statuses == [200] * 5
    assert anybody.get("/docs").status_code == 200


def test_the_files_have_a_limit_of_their_own(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor
) -> None:
    limited = settings.model_copy(update={"rate_limit_files": "1/minute"})
    anybody = client_with_settings(limited)(alice).without_token()

    assert [anybody.get("/").status_code for _ in range(2)] == [200, 429]


def test_the_console_can_be_switched_off(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor, main: str
) -> None:
    without = client_with_settings(settings.model_copy(update={"console": False}))(alice)

    assert_problem(without.get("/"), 404, "route_not_found")
    assert_problem(without.get(main), 404, "route_not_found")
    assert_problem(without.get("/console/worker.js"), 404, "route_not_found")


def test_the_page_says_who_may_register(
    settings: Settings, client_with_settings: Callable[..., Callable[[Actor], Caller]], alice: Actor
) -> None:
    invited = client_with_settings(settings.model_copy(update={"registration": "invite", "app_name": '<"Ada">'}))(alice)

    text = invited.get("/").text

    assert "&quot;registration&quot;:&quot;invite&quot;" in text
    assert "<title>&lt;&quot;Ada&quot;&gt;</title>" in text
