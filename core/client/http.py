"""Requests to the HTTP API in the name of a person, with an access token that is refreshed."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.models import PreparedRequest

from core import __version__
from core.client.credentials import Credentials, CredentialsFile
from core.config import API_PREFIX

_TIMEOUT: Final = (5.0, 30.0)
_RETRY_SECONDS: Final = (0.5, 2.0)
# A token is replaced this early, so that it does not end while the request is under way.
_EARLY_SECONDS: Final = 30.0
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_PROXIES: Final = {"http": "", "https": ""}
_UNAUTHENTICATED: Final = 401


class ApiError(Exception):
    """The server has refused a request, or cannot be reached; the message is for people."""


class LoginNeeded(ApiError):  # noqa: N818 - a state, not a mistake.
    """There is no login, or its session has ended."""

    def __init__(self) -> None:
        super().__init__("You are not signed in. Run: allweather login")


class Client:
    """The API, with the login of a file. `pause` waits between attempts."""

    def __init__(self, file: CredentialsFile, pause: Callable[[float], None] = time.sleep) -> None:
        self._file = file
        self._pause = pause
        self._http = requests.Session()
        self._http.headers["User-Agent"] = f"Allweather/{__version__}"

    def login(self, url: str, name: str, password: str) -> dict[str, Any]:
        """Log in, keep the login in the file, and return the profile.

        Raises:
            ApiError: if the login is refused, the server cannot be reached, or the password would travel unencrypted.
        """
        url = url.rstrip("/")
        scheme = urlsplit(url).scheme
        if scheme != "https" and not (scheme == "http" and is_local(url)):
            raise ApiError(f"{url} must begin with https://, so that nobody can read the password on its way.")
        response = self._send("POST", f"{url}{API_PREFIX}/auth/login", json={"username": name, "password": password})
        granted = _checked(response)
        with self._file.locked():
            self._file.store(_credentials(url, granted))
        profile: dict[str, Any] = granted["user"]
        return profile

    def logout(self) -> None:
        """End the session and forget the login.

        Raises:
            ApiError: if the server cannot be reached; the login is kept then.
        """
        try:
            self.request("POST", "/auth/logout")
        except LoginNeeded:
            return
        self._file.remove()

    def request(self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Send a request to a path below the prefix of the API, and return the document of the response, or None.

        A POST has an `Idempotency-Key`, so it may be repeated like all others if the connection fails.

        Raises:
            LoginNeeded: if there is no login, or its session has ended.
            ApiError: if the server refuses the request or cannot be reached.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        credentials = self.credentials()
        options: dict[str, Any] = {"json": json, "params": params, "headers": headers}
        response = self._send(method, f"{credentials.url}{API_PREFIX}{path}", credentials, **options)
        if response.status_code == _UNAUTHENTICATED:
            credentials = self.refreshed(credentials)
            response = self._send(method, f"{credentials.url}{API_PREFIX}{path}", credentials, **options)
        return _checked(response)

    def credentials(self) -> Credentials:
        """Return the login with an access token that is still valid for a while.

        Raises:
            LoginNeeded, ApiError: as `request()` raises them.
        """
        credentials = self._file.load()
        if credentials is None:
            raise LoginNeeded
        if credentials.expires_at - _EARLY_SECONDS < time.time():
            credentials = self.refreshed(credentials)
        return credentials

    def refreshed(self, former: Credentials) -> Credentials:
        """Return the login with a new access token. If another command has replaced it meanwhile, that one is used.

        Raises:
            LoginNeeded, ApiError: as `request()` raises them.
        """
        with self._file.locked():
            present = self._file.load()
            if present is None:
                raise LoginNeeded
            if present.access_token != former.access_token:
                return present
            body = {"refresh_token": present.refresh_token}
            response = self._send("POST", f"{present.url}{API_PREFIX}/auth/refresh", json=body)
            if response.status_code == _UNAUTHENTICATED:
                self._file.remove()
                raise LoginNeeded
            renewed = _credentials(present.url, _checked(response))
            self._file.store(renewed)
        return renewed

    def _send(self, method: str, url: str, credentials: Credentials | None = None, **options: Any) -> requests.Response:
        """Send a request, up to three times if the connection fails."""
        waits = iter(_RETRY_SECONDS)
        # A proxy of the environment cannot reach a server on this machine, and would see the password on its way.
        proxies = _NO_PROXIES if is_local(url) else None
        while True:
            try:
                # Redirects are not followed, since the token is for this server only. An explicit `auth` keeps
                # requests from replacing the token by a password of the file .netrc.
                return self._http.request(
                    method,
                    url,
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                    auth=_bearer(credentials),
                    proxies=proxies,
                    **options,
                )
            except requests.RequestException as error:
                wait = next(waits, None)
                if wait is None:
                    raise ApiError(f"{url} cannot be reached: {type(error).__name__}") from None
                self._pause(wait)


def is_local(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in _LOCAL_HOSTS


def _bearer(credentials: Credentials | None) -> Callable[[PreparedRequest], PreparedRequest]:
    def authenticate(request: PreparedRequest) -> PreparedRequest:
        if credentials is not None:
            request.headers["Authorization"] = f"Bearer {credentials.access_token}"
        return request

    return authenticate


def _credentials(url: str, granted: Mapping[str, Any]) -> Credentials:
    expires_at = time.time() + granted["expires_in"]
    return Credentials(url, granted["access_token"], granted["refresh_token"], expires_at)


def _checked(response: requests.Response) -> Any:
    """Return the document of a response, or raise what its problem says."""
    if response.status_code == requests.codes.no_content:
        return None
    try:
        document = response.json()
    except requests.JSONDecodeError:
        document = None
    if response.ok and document is not None:
        return document
    if not isinstance(document, dict) or "detail" not in document:
        raise ApiError(f"{response.url} is no Allweather server: it answered with status {response.status_code}.")
    details = "; ".join(f"{error['field']}: {error['message']}" for error in document.get("errors", ()))
    raise ApiError(f"{document['detail']} {details}".strip())
