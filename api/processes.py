"""Several web processes behind one port.

Each process listens on a socket of its own, and the kernel divides new connections evenly among these sockets
(`SO_REUSEPORT`). uvicorn can start several processes too, but

- its processes share one listening socket, so the process that wakes up first takes most of the connections,
- they continue to run, and keep the port, if the process that started them is killed,
- it kills a process that does not answer it in time, which a process that starts on a busy machine may not do, and
- a process that replaces another has to import everything first.

Here the application is imported once, and each process is a fork of the process that has imported it. A new process
needs 0.5 s of CPU time instead of 1.2 s until it serves, and only half of its 126 MB of memory are its own.
"""

import gc
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Final

import structlog
from uvicorn.config import STARTUP_FAILURE

from core import logs, metrics
from core.config import Settings
from core.metrics.export import Counted, export_until_stopped

log = structlog.get_logger()

Serve = Callable[[Settings, str, socket.socket], None]

_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
# One more process exports what the others have counted. A thread here could hold a lock in the moment of a fork.
_METRICS: Final = "web-metrics"
_SIGNALS: Final = _STOPPING | {signal.SIGCHLD}
# A process that ends at once is replaced only after this time, so that a fault does not use up a core.
_RESTART_SECONDS: Final = 1.0
# A process needs up to ten seconds for its open requests, and some more to close its connections.
_STOP_SECONDS: Final = 20.0


def serve_in_processes(settings: Settings, count: int, serve: Serve) -> int:
    """Run `serve` in `count` processes until SIGTERM or SIGINT, replace those that end, and return the exit code.

    If a process cannot start, all are stopped, because the others could not be replaced either. The exit code is then
    that of uvicorn for a failed start, and so it is if the port is in use.
    """
    logs.configure(settings, "web")
    try:
        reservation = _bound((settings.host, settings.port), is_shared=False)
    except OSError as error:
        log.error("port_unavailable", port=settings.port, reason=error.strerror)  # noqa: TRY400 - the reason says all.
        return STARTUP_FAILURE
    # The port stays reserved for this installation. Otherwise a second installation of the same user could listen on
    # it too, and would get every second connection.
    with reservation:
        return _Processes(settings, count, serve, reservation.getsockname()[:2]).run()


class _Processes:
    """The processes by their names, and the name and the time of each start."""

    def __init__(self, settings: Settings, count: int, serve: Serve, address: tuple[str, int]) -> None:
        self._settings = settings
        self._serve = serve
        self._address = address
        self._running: dict[str, ForkProcess | None] = {f"web-{number}": None for number in range(1, count + 1)}
        if settings.metrics_port is not None:
            self._running[_METRICS] = None
        self._memories = {name: metrics.Memory() for name in self._running}
        self._started_at = dict.fromkeys(self._running, -_RESTART_SECONDS)
        # Only this process keeps the write end open, so reading from the other end ends when this process ends.
        self._lifeline = os.pipe()

    def run(self) -> int:
        """Keep the processes running until a signal asks to stop."""
        # Objects that the garbage collector never visits stay in the memory that the processes share.
        gc.freeze()
        # Signals wait until this process asks for them, so none interrupts it between two steps.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        exit_code = 0
        received = None
        try:
            while not exit_code and (received is None or received.si_signo not in _STOPPING):
                exit_code = self._replace_ended()
                received = signal.sigtimedwait(_SIGNALS, _RESTART_SECONDS)
        # Also after an error, for example because the system has no memory for a fork: at its end, Python would wait
        # without end for processes that serve.
        finally:
            self._stop_all()
        return exit_code

    def _replace_ended(self) -> int:
        """Start what does not run; returns an exit code if a process could not start."""
        for name, process in self._running.items():
            if process is not None and process.exitcode is not None:
                self._running[name] = None
                log.error("web_process_ended", name=name, exit_code=process.exitcode)
                if process.exitcode == STARTUP_FAILURE:
                    return STARTUP_FAILURE
            if self._running[name] is None and time.monotonic() >= self._started_at[name] + _RESTART_SECONDS:
                self._start(name)
        return 0

    def _start(self, name: str) -> None:
        process = multiprocessing.get_context("fork").Process(target=self._run_child, args=(name,), name=name)
        process.start()
        self._running[name] = process
        self._started_at[name] = time.monotonic()
        log.info("web_process_started", name=name, process_id=process.pid)

    def _run_child(self, name: str) -> None:
        """Serve, in a new process, until a signal arrives or the process that started this one has ended."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        read_end, write_end = self._lifeline
        os.close(write_end)
        threading.Thread(target=_stop_at_end_of, args=(read_end,), name="lifeline", daemon=True).start()
        try:
            self._work_as(name)
        finally:
            # A forked process runs no exit handlers, which would write the last lines.
            logs.finish()

    def _work_as(self, name: str) -> None:
        if name == _METRICS:
            export_until_stopped(self._settings, "web", Counted(self._memories.values()))
        else:
            # A process that replaces another one continues its numbers.
            metrics.count_in(self._memories[name])
            self._serve(self._settings, name, _bound(self._address, is_shared=True))

    def _stop_all(self) -> None:
        running = [process for process in self._running.values() if process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            process.join(max(deadline - time.monotonic(), 0))
            if process.exitcode is None:
                log.error("web_process_killed", name=process.name)
                process.kill()
                process.join()


def _stop_at_end_of(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _bound(address: tuple[str, int], *, is_shared: bool) -> socket.socket:
    """Return a socket that is bound and does not listen yet; sockets that are shared may listen on one port."""
    family, kind, _, _, target = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    bound = socket.socket(family, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(target)
    return bound
