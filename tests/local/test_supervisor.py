"""The supervisor, with real processes."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.local.supervisor import Console, Delays, ProcfileError, Supervisor, read_procfile
from tests.processes import DEADLINE_SECONDS, eventually, is_alive

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT_DELAYS = Delays(first_delay=0.01, longest_delay=0.05, stop=10.0)

# Runs a supervisor in a separate process, as `run` does.
SUPERVISE = """
import os, signal, sys
from pathlib import Path
from core.local.supervisor import Console, Delays, Supervisor, read_procfile
directory = Path(sys.argv[1])
commands = read_procfile(directory / "Procfile")
delays = Delays(first_delay=0.01, longest_delay=0.05, stop=float(sys.argv[2]))
supervisor = Supervisor(commands, os.environ, directory, Console(commands), delays)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, supervisor.on_signal)
supervisor.run()
"""

# Writes its own process id and that of its child to a file, then waits. It never stops the child.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(os.getpid(), child.pid, file=open("family.new", "w"))
os.rename("family.new", "family")
time.sleep(300)
"""

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN);"


def python(directory: Path, name: str, code: str) -> str:
    (directory / f"{name}.py").write_text(code)
    return f"{sys.executable} {name}.py"


class Supervised:
    """A supervisor that runs in a thread, and its output."""

    def __init__(self, directory: Path, commands: dict[str, str], environment: dict[str, str]) -> None:
        self._stream = io.StringIO()
        self._supervisor = Supervisor(
            commands, {**os.environ, **environment}, directory, Console(commands, self._stream), SHORT_DELAYS
        )
        self._thread = threading.Thread(target=self._supervisor.run)
        self._thread.start()

    def lines(self, source: str) -> list[str]:
        split = (line.split(" | ", 1) for line in self._stream.getvalue().splitlines())
        return [text for name, text in split if name.strip() == source]

    def stop(self) -> None:
        self._supervisor.stop()
        self._thread.join()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Return a function that starts a supervisor, which is stopped at the end of the test."""
    started: list[Supervised] = []

    def start(commands: dict[str, str], **environment: str) -> Supervised:
        started.append(Supervised(tmp_path, commands, environment))
        return started[-1]

    yield start
    for supervised in started:
        supervised.stop()


@pytest.fixture
def supervisor_process(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Return a function that starts a supervisor process; `grace` is the time in seconds that children have to end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(commands: dict[str, str], *, grace: float = 10.0) -> "subprocess.Popen[bytes]":
        (tmp_path / "Procfile").write_text("".join(f"{name}: {command}\n" for name, command in commands.items()))
        arguments = [sys.executable, "-c", SUPERVISE, str(tmp_path), str(grace)]
        started.append(subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL))  # noqa: S603 - the script above
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def family_of(directory: Path) -> list[int]:
    """Wait for the FAMILY process and its child, and return their process ids."""
    eventually((directory / "family").exists)
    return [int(number) for number in (directory / "family").read_text().split()]


def test_procfile_names_commands(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("# processes\n\nweb: serve --port ${PORT:-80}\nmail_2:  send: all \n")

    assert read_procfile(tmp_path / "Procfile") == {"web": "serve --port ${PORT:-80}", "mail_2": "send: all"}


@pytest.mark.parametrize("line", ["web", "web:", ": serve", "we b: serve", "twice: a\ntwice: b"])
def test_procfile_with_a_bad_line_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "Procfile").write_text(f"good: serve\n{line}\n")

    with pytest.raises(ProcfileError, match=r"Procfile, line [23]"):
        read_procfile(tmp_path / "Procfile")


def test_an_ended_process_is_restarted_and_the_others_keep_running(
    tmp_path: Path, supervise: Callable[..., Supervised]
) -> None:
    family = python(tmp_path, "family", FAMILY)
    dying = python(tmp_path, "dying", "raise SystemExit(3)")

    supervised = supervise({"dying": dying, "family": family})

    sibling, _ = family_of(tmp_path)
    eventually(lambda: sum("dying ended (exit code 3)" in line for line in supervised.lines("supervisor")) >= 3)
    assert is_alive(sibling)
    assert [line for line in supervised.lines("supervisor") if line.startswith("family")] == [
        f"family started as process {sibling}"
    ]


def test_the_restart_delay_doubles_up_to_its_limit(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise({"dying": "false"})

    eventually(lambda: sum("ended" in line for line in supervised.lines("supervisor")) >= 5)

    delays = [line.rpartition(" in ")[2] for line in supervised.lines("supervisor") if "ended" in line]
    assert delays[:5] == ["0.01 s", "0.02 s", "0.04 s", "0.05 s", "0.05 s"]


def test_the_children_of_a_killed_process_are_killed(tmp_path: Path, supervise: Callable[..., Supervised]) -> None:
    supervised = supervise({"family": python(tmp_path, "family", FAMILY)})
    parent, child = family_of(tmp_path)

    os.kill(parent, signal.SIGKILL)

    eventually(lambda: "family ended (signal: Killed); it starts again in 0.01 s" in supervised.lines("supervisor"))
    eventually(lambda: not is_alive(child))


def test_output_lines_have_the_process_name_and_the_last_line_is_kept(
    tmp_path: Path, supervise: Callable[..., Supervised]
) -> None:
    code = (
        "import sys, time; print('grüß dich'); print('two', file=sys.stderr); sys.stdout.write('end'); time.sleep(300)"
    )
    supervised = supervise({"talker": python(tmp_path, "talker", code)}, PYTHONUNBUFFERED="1", PYTHONUTF8="1")

    eventually(lambda: supervised.lines("talker")[:2] == ["grüß dich", "two"])
    supervised.stop()

    assert supervised.lines("talker") == ["grüß dich", "two", "end"]


def test_commands_see_the_environment(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise({"echo": "echo ${GIVEN} ${ABSENT:-default}"}, GIVEN="given")

    eventually(lambda: "given default" in supervised.lines("echo"))


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_and_their_children(
    tmp_path: Path, supervisor_process: Callable[..., "subprocess.Popen[bytes]"], signal_number: signal.Signals
) -> None:
    stop_politely = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (open('bye', 'w'), sys.exit())); "
    )
    supervisor = supervisor_process(
        {
            "polite": python(tmp_path, "polite", stop_politely + "open('here', 'w'); time.sleep(300)"),
            "family": python(tmp_path, "family", FAMILY),
        }
    )
    processes = family_of(tmp_path)
    eventually((tmp_path / "here").exists)

    supervisor.send_signal(signal_number)

    assert supervisor.wait(DEADLINE_SECONDS) == 0
    assert (tmp_path / "bye").exists()
    assert not any(is_alive(process) for process in processes)


def test_a_process_that_ignores_the_signal_is_killed_after_the_grace_time(
    tmp_path: Path, supervisor_process: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    supervisor = supervisor_process({"stubborn": python(tmp_path, "stubborn", STUBBORN + FAMILY)}, grace=0.2)
    processes = family_of(tmp_path)

    supervisor.send_signal(signal.SIGTERM)

    assert supervisor.wait(DEADLINE_SECONDS) == 0
    assert not any(is_alive(process) for process in processes)


def test_a_second_interrupt_kills_immediately(
    tmp_path: Path, supervisor_process: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    record_sigterm = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: open('asked', 'w').close())\n"
        + FAMILY
        + "time.sleep(300)"
    )
    supervisor = supervisor_process({"stubborn": python(tmp_path, "stubborn", record_sigterm)}, grace=300.0)
    processes = family_of(tmp_path)
    supervisor.send_signal(signal.SIGINT)
    eventually((tmp_path / "asked").exists)

    supervisor.send_signal(signal.SIGINT)

    assert supervisor.wait(DEADLINE_SECONDS) == 0
    assert not any(is_alive(process) for process in processes)


def test_all_processes_end_when_the_supervisor_is_killed(
    tmp_path: Path, supervisor_process: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    supervisor = supervisor_process({"family": python(tmp_path, "family", FAMILY)})
    processes = family_of(tmp_path)

    supervisor.kill()

    eventually(lambda: not any(is_alive(process) for process in processes))
