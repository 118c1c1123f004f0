"""Keep the processes of a Procfile running, and stop all of them at the end."""

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, strsignal
from types import FrameType
from typing import IO, Final, TextIO

from core.local.embedded.lifeline import Lifeline

NAME: Final = "supervisor"

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")
_COLOURS = (36, 33, 32, 35, 34, 31)
_POLL_SECONDS = 0.1
_OUTPUT_SECONDS = 1.0
_LONGEST_LINE_BYTES = 1024 * 1024


class ProcfileError(Exception):
    """A Procfile cannot be read; the message names the line."""


def read_procfile(path: Path) -> dict[str, str]:
    """Return the commands by process name. A line is `name: command`, empty, or a comment that begins with `#`.

    A command is one program with its arguments; the shell replaces its variables.

    Raises:
        ProcfileError: if a line is not valid or a name is used twice.
    """
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or match["name"] in commands:
            raise ProcfileError(f"{path}, line {number}: expected `name: command` with a name of its own.")
        commands[match["name"]] = match["command"]
    return commands


class Console:
    """Writes lines of many sources to one stream; each line begins with its source, in colour on a terminal."""

    def __init__(self, sources: Iterable[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        in_colour = self._stream.isatty()
        names = [NAME, *sources]
        width = max(map(len, names))
        self._prefixes = {
            name: f"\x1b[{colour}m{name:{width}} |\x1b[0m " if in_colour else f"{name:{width}} | "
            for name, colour in zip(names, itertools.cycle(_COLOURS), strict=False)
        }

    def line(self, source: str, text: str) -> None:
        """Write one line as coming from `source`."""
        self.write(f"{self._prefixes[source]}{text}\n")

    def write(self, text: str) -> None:
        """Write a text unchanged; other threads cannot write in between."""
        # If the reader of the output has ended, the supervised processes must keep running.
        with self._lock, suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


@dataclass(frozen=True)
class Delays:
    """How long the supervisor waits, in seconds."""

    first_delay: float = 1.0
    longest_delay: float = 30.0
    stable_after: float = 60.0
    """If a process has run for this time when it ends, the next delay is the first delay again."""
    stop: float = 25.0
    """The time between SIGTERM and SIGKILL."""


@dataclass
class _Child:
    name: str
    command: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    delay: float = 0.0
    reader: threading.Thread | None = None


class Supervisor:
    """Runs commands, each in its own session, and restarts each one that ends, with any exit code.

    A signal from the terminal therefore only reaches the supervisor, which then stops the processes. If the supervisor
    itself is killed, its processes are killed too.
    """

    def __init__(
        self,
        commands: Mapping[str, str],
        environment: Mapping[str, str],
        directory: Path,
        console: Console,
        delays: Delays | None = None,
    ) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._environment = environment
        self._directory = directory
        self._console = console
        self._delays = delays or Delays()
        self._stopping = threading.Event()
        self._at_once = threading.Event()
        self._lifeline: Lifeline

    def run(self) -> None:
        """Run until `stop()` is called; all processes have ended when this returns."""
        with Lifeline() as self._lifeline:
            try:
                while not self._stopping.is_set():
                    for child in self._children:
                        self._check(child)
                    self._stopping.wait(_POLL_SECONDS)
            finally:
                self._stop_all()

    def stop(self) -> None:
        """Make `run()` stop all processes and return."""
        self._stopping.set()

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal that asks to stop; after a second Ctrl-C the processes are killed at once."""
        if number == SIGINT and self._stopping.is_set():
            self._at_once.set()
        self.stop()

    def _check(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
        elif (code := child.process.poll()) is not None:
            self._kill_group(child.process)
            child.process = None
            was_stable = now - child.started_at >= self._delays.stable_after
            longer = 0.0 if was_stable else min(child.delay * 2, self._delays.longest_delay)
            child.delay = max(longer, self._delays.first_delay)
            child.start_at = now + child.delay
            self._print(f"{child.name} ended ({_describe(code)}); it starts again in {child.delay:g} s")

    def _start(self, child: _Child) -> None:
        process = subprocess.Popen(  # noqa: S603 - the Procfile is trusted
            # Without exec the shell would get the signals instead of the program.
            ["/bin/sh", "-c", f"exec {child.command}"],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._lifeline.guard(process.pid, SIGKILL)
        child.process = process
        child.started_at = time.monotonic()
        child.reader = threading.Thread(target=self._forward, args=(child.name, process.stdout), daemon=True)
        child.reader.start()
        self._print(f"{child.name} started as process {process.pid}")

    def _forward(self, name: str, output: IO[bytes]) -> None:
        """Print the output of a process line by line; a line that is too long is split, so that memory is limited."""
        with output:
            while line := output.readline(_LONGEST_LINE_BYTES):
                self._console.line(name, line.decode(errors="replace").rstrip("\r\n"))

    def _stop_all(self) -> None:
        running = {child.name: child.process for child in self._children if child.process is not None}
        self._print(f"stopping {', '.join(running) or 'with nothing running'}")
        for process in running.values():
            process.send_signal(SIGTERM)
        deadline = time.monotonic() + self._delays.stop
        while any(process.poll() is None for process in running.values()):
            if time.monotonic() >= deadline or self._at_once.wait(_POLL_SECONDS):
                break
        for name, process in running.items():
            if process.poll() is None:
                self._print(f"{name} has not ended and is killed")
            self._kill_group(process)
        for child in self._children:
            if child.reader is not None:
                child.reader.join(_OUTPUT_SECONDS)
        self._print("stopped")

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process and all processes that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait()
        self._lifeline.release(process.pid)

    def _print(self, text: str) -> None:
        self._console.line(NAME, text)


def _describe(code: int) -> str:
    return f"signal: {strsignal(-code)}" if code < 0 else f"exit code {code}"
