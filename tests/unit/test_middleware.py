"""The address of the client behind proxies."""

import asyncio
from ipaddress import ip_network

import pytest
from falcon.asgi import Response
from falcon.testing import create_asgi_req

from api.http.middleware import RequestContext, client_address
from core.config import Settings

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "not an address", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, junk, 10.0.0.2", "10.0.0.2"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("", "198.51.100.1", ""),
    ],
)
def test_forwarded_addresses_are_used_only_from_trusted_proxies(peer: str, forwarded_for: str, address: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == address


def test_without_trusted_proxies_forwarded_addresses_are_ignored() -> None:
    assert client_address("10.0.0.1", "198.51.100.1", ()) == "10.0.0.1"


def test_processes_that_are_forks_of_one_process_make_different_request_ids(settings: Settings) -> None:
    """Each process makes its own application after the fork, so nothing that all of them have may decide the ids."""

    def first_id() -> int:
        resp = Response()
        asyncio.run(RequestContext(settings).process_request(create_asgi_req(), resp))
        return int(str(resp.get_header("X-Request-ID")), 16)

    assert abs(first_id() - first_id()) > 2**64
