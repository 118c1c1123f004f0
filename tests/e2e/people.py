"""Users of a running system, who use it over HTTP and WebSocket."""

import re
from typing import Any
from uuid import uuid4

import requests
from websockets.sync.client import ClientConnection, connect

from tests.doubles.smtp import MailServer
from tests.e2e.system import System
from tests.polling import wait_until

PASSWORD = "correct horse battery"


class Person:
    """A logged-in user."""

    def __init__(self, system: System, *, email: str | None = None, password: str = PASSWORD) -> None:
        self.system = system
        if email is None:
            email = f"{uuid4().hex}@example.com"
            self._post("/auth/register", email=email, password=password)
        self.email = email
        self.name = email.partition("@")[0]
        login = self._post("/auth/login", email=email, password=password)
        self.id: int = login["user"]["id"]
        self.headers = {"Authorization": f"Bearer {login['access_token']}"}

    def confirm_email(self, server: MailServer) -> None:
        """Open the link of the mail that the registration has sent, as soon as it arrives."""
        wait_until(lambda: any(mail["To"] == self.email for mail in server.mails), 30)
        (text,) = [mail.get_content() for mail in server.mails if mail["To"] == self.email]
        (token,) = re.findall(r"/api/v1/auth/email/verify\?token=(\S+)", text)
        response = requests.post(f"{self.system.url}/api/v1/auth/email/verify", json={"token": token}, timeout=10)
        assert response.status_code == 204, response.text

    def create_task(self, **fields: Any) -> dict[str, Any]:
        return self.post("/tasks", **fields)

    def post(self, path: str, **fields: Any) -> Any:
        return self._post(path, headers=self.headers, **fields)

    def get(self, path: str) -> Any:
        response = requests.get(f"{self.system.url}/api/v1{path}", headers=self.headers, timeout=10)
        assert response.status_code == 200, response.text
        return response.json()

    def listen(self, since: int | None = None) -> ClientConnection:
        query = "" if since is None else f"?since={since}"
        return connect(f"ws://127.0.0.1:{self.system.port}/ws{query}", additional_headers=self.headers)

    def _post(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        response = requests.post(f"{self.system.url}/api/v1{path}", json=fields, headers=headers, timeout=10)
        assert response.status_code in {200, 201}, response.text
        return response.json()
