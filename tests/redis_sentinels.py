"""A Redis primary with a replica, watched by three sentinels, as real processes on loopback."""

import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from core.local.embedded.servers import redis_program
from tests.polling import wait_until
from tests.processes import free_port, free_ports

NAME = "allweather"
_SENTINELS = 3
_PASSWORD = "the password of the servers"
_SENTINEL_PASSWORD = "another of the sentinels"


class Replicated:
    """Two Redis servers and their sentinels. A failover takes the sentinels some seconds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all processes.

        The replica tries to reach the primary once a second, and a sentinel that does not reach it at first would
        replace it. So each server is started when those that it needs respond.
        """
        self.primary_port = self._start_server()
        self.replica_port = self._start_server(f"replicaof 127.0.0.1 {self.primary_port}", f'masterauth "{_PASSWORD}"')
        self.sentinel_ports = self._start_sentinels()
        self.url = self.url_with([f"127.0.0.1:{port}" for port in self.sentinel_ports])

    def wait_until_ready(self) -> None:
        """Wait until the replica has the data of the primary, and the sentinels see both."""
        wait_until(self._is_ready)

    def url_with(self, sentinels: list[str]) -> str:
        """Return the `REDIS_URL` with these sentinels."""
        password, sentinel_password = (text.replace(" ", "%20") for text in (_PASSWORD, _SENTINEL_PASSWORD))
        return f"redis+sentinel://:{password}@{','.join(sentinels)}/{NAME}/0?sentinel_password={sentinel_password}"

    def server(self, port: int) -> "Redis[bytes]":
        """Return a client of one of the servers."""
        return Redis(port=port, password=_PASSWORD)

    def kill_primary(self) -> None:
        """Kill the primary, and wait until the replica is the primary."""
        self.stop(self.primary_port)
        wait_until(lambda: self._role(self.replica_port) == b"master", 30)

    def freeze(self, port: int) -> None:
        """Let a process accept connections, but not answer any more."""
        self._processes[port].send_signal(signal.SIGSTOP)

    def stop(self, port: int) -> None:
        """Kill one of the processes."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def stop_all(self) -> None:
        """Kill all processes."""
        for port in list(self._processes):
            self.stop(port)

    def _start_server(self, *settings: str) -> int:
        port = self._start([f'requirepass "{_PASSWORD}"', 'save ""', "repl-diskless-sync-delay 0", *settings])
        wait_until(lambda: self._role(port))
        return port

    def _start_sentinels(self) -> list[int]:
        """Start sentinels that know each other from the beginning; otherwise they need seconds to find each other."""
        first = free_ports(_SENTINELS)
        sentinels = {port: secrets.token_hex(20) for port in range(first, first + _SENTINELS)}
        for port, identity in sentinels.items():
            others = [
                f"sentinel known-sentinel {NAME} 127.0.0.1 {other} {its_identity}"
                for other, its_identity in sentinels.items()
                if other != port
            ]
            settings = [
                f'requirepass "{_SENTINEL_PASSWORD}"',
                f'sentinel sentinel-pass "{_SENTINEL_PASSWORD}"',
                f"sentinel myid {identity}",
                f"sentinel monitor {NAME} 127.0.0.1 {self.primary_port} 2",
                f'sentinel auth-pass {NAME} "{_PASSWORD}"',
                f"sentinel down-after-milliseconds {NAME} 400",
                f"sentinel failover-timeout {NAME} 3000",
                f"sentinel known-replica {NAME} 127.0.0.1 {self.replica_port}",
                *others,
            ]
            self._start(settings, "--sentinel", port=port)
        return list(sentinels)

    def _start(self, settings: list[str], *options: str, port: int | None = None) -> int:
        port = port or free_port()
        home = self._directory / str(port)
        home.mkdir()
        (home / "redis.conf").write_text("\n".join(["bind 127.0.0.1", f"port {port}", *settings]) + "\n")
        with (home / "log").open("wb") as log:
            self._processes[port] = subprocess.Popen(  # noqa: S603 - the program is Redis.
                [redis_program(), "redis.conf", *options], cwd=home, stdout=log, stderr=log
            )
        return port

    def _role(self, port: int) -> Any:
        with suppress(RedisError), self.server(port) as client:
            return client.execute_command("ROLE")[0]
        return None

    def _is_ready(self) -> bool:
        with suppress(RedisError), self.server(self.replica_port) as client:
            is_linked = client.info("replication")["master_link_status"] == "up"
            return is_linked and all(map(_sees_both_servers, self.sentinel_ports))
        return False


def _sees_both_servers(sentinel_port: int) -> bool:
    with suppress(RedisError), Redis(port=sentinel_port, password=_SENTINEL_PASSWORD) as client:
        state = client.sentinel_masters()[NAME]
        return bool(state["flags"] == "master" and state["num-slaves"] == 1)
    return False


@contextmanager
def replicated(directory: Path) -> Iterator[Replicated]:
    """Run the servers and their sentinels until the block ends."""
    running = Replicated(directory)
    try:
        running.start()
        running.wait_until_ready()
        yield running
    finally:
        running.stop_all()
