"""The peer of the fan-out: a bare `websockets` server that broadcasts as many messages as its first client asks for."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

from benchmarks.sockets import END

connections: set[ServerConnection] = set()


async def serve_client(connection: ServerConnection) -> None:
    """Keep the connection open; a message of a number and a text, such as `100 text`, starts a broadcast."""
    connections.add(connection)
    try:
        async for message in connection:
            count, _, text = str(message).partition(" ")
            for number in range(int(count)):
                broadcast(connections, f"{number:06} {text if number + 1 < int(count) else text + END.decode()}")
                await asyncio.sleep(0)
    except ConnectionClosedError:
        pass
    finally:
        connections.discard(connection)


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(serve_client, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
