"""Measure how three attacks without an account delay other clients. See README.md in this directory."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Final

import requests

from benchmarks.stack import new_stack

ATTACK_SECONDS: Final = 10.0
HEAD_BYTES: Final = 20 * 1024 * 1024
FLOOD_BYTES_PER_SECOND: Final = 1_600_000
_PIECE_BYTES: Final = 16 * 1024
_HEADERS: Final = b"A: b\r\n" * 4096
_HANDSHAKE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_PING: Final = b"\x89\x80\x00\x00\x00\x00"


def many_headers(port: int) -> int:
    """Send one head of 20 MB in small headers, and return how many bytes the server took."""
    return _sent(port, _bounded(_HEADERS, HEAD_BYTES))


def long_header(port: int) -> int:
    """Send one head of 20 MB in a single header, and return how many bytes the server took."""
    return _sent(port, _bounded(b"x" * 65536, HEAD_BYTES), start=b"GET /health HTTP/1.1\r\nX: ")


def small_frames(port: int) -> int:
    """Send pings at 1.6 MB/s through one WebSocket, and return how many bytes the server took."""
    return _sent(port, _paced(_PING * (_PIECE_BYTES // len(_PING))), start=_HANDSHAKE)


ATTACKS: Final[tuple[Callable[[int], int], ...]] = (small_frames, many_headers, long_header)


def main() -> None:
    """Run each attack against a new server, and print the longest wait of another client for `GET /health`."""
    with new_stack() as stack:
        for attack in ATTACKS:
            with stack.api() as server:
                taken, waits = _attacked(attack, server.port)
            print(f"{attack.__name__:14}{taken:>12,} bytes taken, longest wait {max(waits) * 1000:8.1f} ms")


def _attacked(attack: Callable[[int], int], port: int) -> tuple[int, list[float]]:
    """Return how many bytes the server took, and how long each request of another client waited meanwhile."""
    results: list[int] = []
    attacker = threading.Thread(target=lambda: results.append(attack(port)))
    waits: list[float] = []
    attacker.start()
    while attacker.is_alive() or not waits:
        started = time.monotonic()
        with suppress(requests.RequestException):
            requests.get(f"http://127.0.0.1:{port}/health", timeout=3 * ATTACK_SECONDS)
        waits.append(time.monotonic() - started)
        time.sleep(0.01)
    attacker.join()
    return results[0], waits


def _sent(port: int, pieces: Iterator[bytes], start: bytes = b"GET /health HTTP/1.1\r\n") -> int:
    deadline = time.monotonic() + ATTACK_SECONDS
    total = 0
    with socket.create_connection(("127.0.0.1", port), timeout=ATTACK_SECONDS) as connection, suppress(OSError):
        connection.sendall(start)
        for piece in pieces:
            if time.monotonic() > deadline:
                break
            connection.sendall(piece)
            total += len(piece)
    return total


def _bounded(piece: bytes, total: int) -> Iterator[bytes]:
    return repeat(piece, total // len(piece))


def _paced(piece: bytes) -> Iterator[bytes]:
    """Return the piece again and again, as often as the rate of the flood allows."""
    started, total = time.monotonic(), 0
    while True:
        yield piece
        total += len(piece)
        time.sleep(max(0.0, started + total / FLOOD_BYTES_PER_SECOND - time.monotonic()))


if __name__ == "__main__":
    main()
