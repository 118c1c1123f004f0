"""How many connections the event loop accepts at once."""

import asyncio
import socket
from contextlib import ExitStack

import uvloop

from api.server import shared

CONNECTIONS = 160


async def turns_to_accept(listeners: list[socket.socket]) -> int:
    """Return how many turns the event loop needs until it has accepted all connections that wait."""
    loop = asyncio.get_running_loop()
    accepted = 0

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal accepted
            accepted += 1
            transport.close()

    servers = [await loop.create_server(Connection, sock=listener) for listener in listeners]
    turns = 0
    while accepted < CONNECTIONS:
        await asyncio.sleep(0)
        turns += 1
    for server in servers:
        server.close()
        await server.wait_closed()
    return turns


def count_turns(*, is_shared: bool) -> int:
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS))
        for _ in range(CONNECTIONS):
            sockets.enter_context(socket.create_connection(listener.getsockname()))
        return uvloop.run(turns_to_accept(shared(listener) if is_shared else [listener]))


def test_many_connections_are_accepted_in_few_turns_of_the_loop() -> None:
    alone = count_turns(is_shared=False)

    together = count_turns(is_shared=True)

    assert together < CONNECTIONS / 8
    # If this fails, the loop accepts several connections by itself, and one socket is enough.
    assert alone >= CONNECTIONS
