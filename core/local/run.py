"""All of Allweather on one machine: embedded servers if none are given, and the processes of the Procfile."""

import http
import http.client
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import psycopg2

from core.config import API_PREFIX, ConfigurationError, Settings
from core.local.embedded.environment import complete_environment, refuse_second_run
from core.local.embedded.process import EmbeddedError, EmbeddedServer
from core.local.supervisor import NAME, Console, Supervisor, read_procfile
from core.migrations import migrate

_PROJECT: Final = Path(__file__).resolve().parents[2]
_PORTS: Final = {"PORT": "8000", "FLOWER_PORT": "5555"}
_LARGEST_PORT = 65535
_CHECK_SECONDS = 1.0
_READINESS_SECONDS = 0.2
_PROBE_SECONDS = 2.0
# Four web processes leave enough of PostgreSQL's 100 connections for the other processes.
_MOST_WEB_PROCESSES = 4

_ADDRESSES = """
  Allweather is ready.

    Console     http://127.0.0.1:{PORT}/
    API         http://127.0.0.1:{PORT}{API_PREFIX}
    Documents   http://127.0.0.1:{PORT}/docs and http://127.0.0.1:{PORT}/redoc
    WebSocket   ws://127.0.0.1:{PORT}/ws
    Flower      http://127.0.0.1:{FLOWER_PORT}

"""

_TRY = """\
  To try it, paste this into another terminal:

    API=http://127.0.0.1:{PORT}{API_PREFIX}
    JSON='Content-Type: application/json'
    ACCOUNT='{{"email": "ada@example.com", "password": "correct horse battery"}}'
    curl -s $API/auth/register -H "$JSON" -d "$ACCOUNT"
    TOKEN=$(curl -s $API/auth/login -H "$JSON" -d "$ACCOUNT" | sed 's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')
    curl -s $API/tasks -H "Authorization: Bearer $TOKEN" -H "$JSON" -d '{{"title": "Sail", "city": "Lisbon"}}'
    sleep 2; curl -s $API/tasks -H "Authorization: Bearer $TOKEN"

"""

_END = """\
  Ctrl-C stops everything.

"""


Prepare = Callable[[Settings], str]
"""Is called when the database is migrated, before the processes start. Returns what the banner says about trying it."""


def run(environ: Mapping[str, str], prepare: Prepare | None = None) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; all processes have ended when this returns.

    Raises ConfigurationError if the environment is not usable, EmbeddedError if an embedded server cannot run, and
    KeyboardInterrupt if one of the signals comes before everything was started.
    """
    _on_stop_signals(signal.default_int_handler)
    refuse_second_run(environ)
    ports = _free_ports(environ)
    commands = read_procfile(_PROJECT / "Procfile")
    with complete_environment(environ) as (environment, servers):
        environment["WEB_CONCURRENCY"] = environ.get("WEB_CONCURRENCY") or str(_web_processes())
        settings = Settings.from_environ(environment)
        _migrate(settings)
        hint = prepare(settings) if prepare else _TRY.format(**ports, API_PREFIX=API_PREFIX)
        banner = _ADDRESSES.format(**ports, API_PREFIX=API_PREFIX) + hint + _END
        scripts = Path(sys.executable).parent
        environment |= {
            **ports,
            "PUBLIC_URL": environ.get("PUBLIC_URL") or f"http://127.0.0.1:{ports['PORT']}",
            "PATH": f"{scripts}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
        }
        console = Console(commands)
        supervisor = Supervisor(commands, environment, _PROJECT, console)
        _on_stop_signals(supervisor.on_signal)
        with (
            _in_thread(_restart_stopped, servers, console),
            _in_thread(_print_when_ready, banner, int(ports["PORT"]), console),
        ):
            supervisor.run()


def _on_stop_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores SIGHUP, and this must stay so.
        signal.signal(signal.SIGHUP, handler)


def _free_ports(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the ports to use, by variable; all of them are free at this moment."""
    ports: dict[str, str] = {}
    for variable, default in _PORTS.items():
        port = environ.get(variable) or default
        if not (port.isascii() and port.isdecimal()) or not 0 < int(port) <= _LARGEST_PORT:
            raise ConfigurationError(f"{variable}: {port} is no port; it is a number from 1 to {_LARGEST_PORT}.")
        if port in ports.values() or _is_busy(int(port)):
            raise ConfigurationError(f"Port {port} is busy; set {variable} to another one.")
        ports[variable] = port
    return ports


def _is_busy(port: int) -> bool:
    with socket.socket() as probe:
        # With this option old connections of a process that has ended do not make the port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except PermissionError:
            raise ConfigurationError(f"Port {port} needs special rights; choose one above 1023.") from None
        except OSError:
            return True
    return False


def _web_processes() -> int:
    """Return how many web processes this machine should run. The other half of its cores is for everything else."""
    if sys.platform != "linux":
        return 1
    return min(max(len(os.sched_getaffinity(0)) // 2, 1), _MOST_WEB_PROCESSES)


def _migrate(settings: Settings) -> None:
    try:
        done = migrate(settings.database_url.get_secret_value())
    except psycopg2.OperationalError as error:
        raise ConfigurationError(f"The database does not answer: {error}") from None
    if done:
        sys.stdout.write(f"migrated the database: {', '.join(done)}\n")


@contextmanager
def _in_thread(task: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Run `task` in a thread until the block ends; its last argument is an event that is set when it must return."""
    ending = threading.Event()
    thread = threading.Thread(target=task, args=(*arguments, ending))
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _restart_stopped(servers: Sequence[EmbeddedServer], console: Console, ending: threading.Event) -> None:
    """Restart embedded servers that have died."""
    while not ending.wait(_CHECK_SECONDS):
        for server in servers:
            if server.is_running():
                continue
            console.line(NAME, f"{server.title} has ended; starting it again")
            try:
                server.start()
            except EmbeddedError as error:
                console.line(NAME, str(error))


def _print_when_ready(banner: str, port: int, console: Console, ending: threading.Event) -> None:
    """Print the banner as soon as the API is ready."""
    while not ending.wait(_READINESS_SECONDS):
        if _is_ready(port):
            console.write(banner)
            return


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
