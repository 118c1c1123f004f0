"""The heartbeat of a process: a thread that says every few seconds that the process runs, and writes what it has done.

A thread keeps a database connection of its own, so no request and no job waits for it. If PostgreSQL cannot be reached,
the counts are kept and written later.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
from peewee import PeeweeException

from core import db
from core.activity import ACTIVITY, Activity
from core.services import processes
from core.services.processes import Identity

log = structlog.get_logger()

SECONDS: Final = 10.0
_LAST_SECONDS: Final = 2.0
_STATM: Final = Path("/proc/self/statm")


class Heartbeat:
    """Writes the state of a process and its counts."""

    def __init__(self, identity: Identity, activity: Activity) -> None:
        self._identity = identity
        self._activity = activity
        self._is_interrupted = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start to beat in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Beat once more, so that no count is lost, and say that the process has ended. Does not wait for long."""
        self._ending.set()
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        self.beat()
        while not self._ending.wait(SECONDS):
            self.beat()
        self.beat()
        with suppress(PeeweeException):
            processes.end(self._identity)
        db.disconnect()

    def beat(self) -> None:
        """Write the state and the counts once. Without PostgreSQL, the counts are kept for the next time."""
        sockets = self._activity.open_sockets
        taken = self._activity.take()
        try:
            open_sockets = None if sockets is None else sockets()
            processes.beat(self._identity, memory_bytes=_memory_bytes(), sockets=open_sockets, tallies=taken)
        # Every error is caught: if this thread ended, the process would look as if it had ended.
        except Exception as error:
            self._activity.put_back(taken)
            db.disconnect()
            if not self._is_interrupted:
                is_expected = isinstance(error, PeeweeException)
                log.warning("heartbeat_interrupted", reason=type(error).__name__, exc_info=not is_expected)
            self._is_interrupted = True
        else:
            if self._is_interrupted:
                log.info("heartbeat_recovered")
            self._is_interrupted = False


def _memory_bytes() -> int | None:
    """Return the memory that this process occupies, or None if the system does not say."""
    try:
        resident_pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


_running: list[Heartbeat] = []


def start_heartbeat(identity: Identity) -> None:
    """Start the heartbeat of this process. A process that forks must not call it.

    If the process is killed, what was counted in the last seconds is lost.
    """
    heartbeat = Heartbeat(identity, ACTIVITY)
    _running.append(heartbeat)
    heartbeat.start()


def stop_heartbeat() -> None:
    """Stop the heartbeat of this process, if it has one, because the process ends."""
    while _running:
        _running.pop().stop()
