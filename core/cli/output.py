"""What commands write: text for people, or JSON for programs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_REPLACEMENT: Final = "�"


def plain(value: object) -> Text:
    """Return a text without styles and control characters: the texts of other people must not steer the terminal."""
    return Text("".join(each if each.isprintable() else _REPLACEMENT for each in str(value)))


def table(*titles: str) -> Table:
    """Return an empty table with these columns."""
    made = Table(box=None, pad_edge=False)
    for title in titles:
        made.add_column(title, overflow="fold")
    return made


@dataclass
class Output:
    """The standard output and the standard error of one command."""

    as_json: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=False))
    messages: Console = field(default_factory=lambda: Console(highlight=False, stderr=True))

    def show(self, document: Any, *rendered: RenderableType | str) -> None:
        """Write a result: the document as one line of JSON, or what was rendered of it for people."""
        if self.as_json:
            sys.stdout.write(f"{orjson.dumps(document).decode()}\n")
            sys.stdout.flush()
            return
        for part in rendered:
            # A long line, such as a link, must stay one line, so that it can be copied.
            self.console.print(plain(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str | Text))

    def note(self, text: str) -> None:
        """Tell people about the progress; a program that reads the result does not see this."""
        self.messages.print(plain(text), soft_wrap=True)


@dataclass
class Session:
    """What every command is given: the environment of the process, and where it writes."""

    environ: Mapping[str, str]
    output: Output = field(default_factory=Output)
