"""Keep the processes of a Procfile running, and leave none of them behind."""

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
_LAST_WORDS_SECONDS = 1.0
_LONGEST_LINE_BYTES = 1024 * 1024


class ProcfileError(Exception):
    """A Procfile cannot be read; the message names the line."""


def read_procfile(path: Path) -> dict[str, str]:
    """Answer the commands by process name. A line is `name: command`, empty or a comment behind `#`.

    A command is one program with its arguments; the shell fills in its variables.
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
    """Writes lines of many sources to one stream, each behind the name of its source, in colour on a terminal."""

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
        """Write a text as it is, in one piece."""
        # A reader who has gone away must not stop what runs: whoever writes into a full pipe would wait for ever.
        with self._lock, suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    first_delay: float = 1.0
    longest_delay: float = 30.0
    settled_after: float = 60.0
    """A process that was up for so long starts over with the first delay when it dies."""
    stop: float = 25.0
    """The time between the polite SIGTERM and the SIGKILL."""


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
    """Runs commands, each in a session of its own, and starts one again that ends, whatever its exit code.

    A signal from the terminal therefore reaches the supervisor alone, which stops the others in good order. When the
    supervisor itself is killed, so are they.
    """

    def __init__(
        self,
        commands: Mapping[str, str],
        environment: Mapping[str, str],
        directory: Path,
        console: Console,
        patience: Patience | None = None,
    ) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._environment = environment
        self._directory = directory
        self._console = console
        self._patience = patience or Patience()
        self._stopping = threading.Event()
        self._at_once = threading.Event()
        self._lifeline: Lifeline

    def run(self) -> None:
        """Run until `stop()`; at return no process is left."""
        with Lifeline() as self._lifeline:
            try:
                while not self._stopping.is_set():
                    for child in self._children:
                        self._tend(child)
                    self._stopping.wait(_POLL_SECONDS)
            finally:
                self._end_all()

    def stop(self) -> None:
        """Have `run()` stop everything and return."""
        self._stopping.set()

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal that asks to stop; a second Ctrl-C no longer waits for anybody."""
        if number == SIGINT and self._stopping.is_set():
            self._at_once.set()
        self.stop()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
        elif (code := child.process.poll()) is not None:
            self._kill_group(child.process)
            child.process = None
            settled = now - child.started_at >= self._patience.settled_after
            longer = 0.0 if settled else min(child.delay * 2, self._patience.longest_delay)
            child.delay = max(longer, self._patience.first_delay)
            child.start_at = now + child.delay
            self._say(f"{child.name} ended ({_describe(code)}); it starts again in {child.delay:g} s")

    def _start(self, child: _Child) -> None:
        process = subprocess.Popen(  # noqa: S603 - running the commands of the Procfile is what this is for
            # Without exec the shell would stand between the signals and the program.
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
        self._say(f"{child.name} started as process {process.pid}")

    def _forward(self, name: str, output: IO[bytes]) -> None:
        """Pass on what a process prints, line by line; a line without an end is cut at a length that is no text."""
        with output:
            while line := output.readline(_LONGEST_LINE_BYTES):
                self._console.line(name, line.decode(errors="replace").rstrip("\r\n"))

    def _end_all(self) -> None:
        running = {child.name: child.process for child in self._children if child.process is not None}
        self._say(f"stopping {', '.join(running) or 'with nothing running'}")
        for process in running.values():
            process.send_signal(SIGTERM)
        deadline = time.monotonic() + self._patience.stop
        while any(process.poll() is None for process in running.values()):
            if time.monotonic() >= deadline or self._at_once.wait(_POLL_SECONDS):
                break
        for name, process in running.items():
            if process.poll() is None:
                self._say(f"{name} has not ended and is killed")
            self._kill_group(process)
        for child in self._children:
            if child.reader is not None:
                child.reader.join(_LAST_WORDS_SECONDS)
        self._say("stopped")

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        """Make sure that neither the process nor anything it has started is left."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait()
        self._lifeline.release(process.pid)

    def _say(self, text: str) -> None:
        self._console.line(NAME, text)


def _describe(code: int) -> str:
    return f"signal: {strsignal(-code)}" if code < 0 else f"exit code {code}"
