"""The tour of the API in the documents: its commands run and print the output that it shows."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.doubles.smtp import MailServer
from tests.e2e.system import ADMIN, PROJECT, System

TOUR: Final = PROJECT / "docs" / "api-tour.md"
_BLOCK: Final = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The commands start many processes, so they take long on a machine that is busy with other work.
_SECONDS: Final = 300


@dataclass
class Step:
    """A block of commands and the output that the tour shows for it; empty if it shows none."""

    commands: str
    shown: str = ""


def steps(tour: str) -> list[Step]:
    found: list[Step] = []
    for language, content in _BLOCK.findall(tour):
        if language == "bash":
            found.append(Step(content))
        else:
            found[-1].shown = content
    return found


def script(tour: list[Step], outputs: Path) -> str:
    """Return one script of all steps, with an output file for each. Braces keep all steps in the same shell."""
    return "".join(f'{{\n{step.commands}}} > "{outputs}/{number}"\n' for number, step in enumerate(tour))


@pytest.mark.timeout(_SECONDS + 30)
def test_the_commands_of_the_tour_print_the_documented_output(system: System, mail: MailServer, tmp_path: Path) -> None:
    tour = steps(TOUR.read_text())
    arguments = ["bash", "-c", script(tour, tmp_path)]
    mail.directory = tmp_path / "mails"
    environment = {
        # A version manager may have put a slow script in front of `python3`, which the tour starts more than a hundred
        # times.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "API": system.url,
        "ADMIN_EMAIL": ADMIN["email"],
        "ADMIN_PASSWORD": ADMIN["password"],
        "MAILS": str(mail.directory),
    }

    run = subprocess.run(  # noqa: S603 - the commands are the project's own.
        arguments,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )

    outputs = [path.read_text() for number in range(len(tour)) if (path := tmp_path / str(number)).exists()]
    done = [Step(step.commands, output) for step, output in zip(tour, outputs, strict=False)]
    # A step that fails ends the script, so it is the last step that has output.
    assert (run.returncode, run.stderr) == (0, ""), done[-1]
    assert done == tour
