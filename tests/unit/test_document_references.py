"""What the documents name exists: tests, modules, commands and settings."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from core.__main__ import parser
from core.cli.__main__ import allweather
from core.config import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# The log of changes and the decisions describe the past, so they may name what does not exist any more.
PRESENT = [document for document in DOCUMENTS if document.name != "CHANGELOG.md"]
PROMISES = [document for document in DOCUMENTS if document.name in {"security.md", "asvs.md"}]
FOLDERS = "api benchmarks core migrations tests worker".split()
IN_A_FOLDER = rf"({'|'.join(FOLDERS)})/"
# A name after a dot belongs to an object, such as a job of the module `jobs`.
CAPITALS = re.compile(r"(?<![.\w])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")

every_document = pytest.mark.parametrize("document", PRESENT, ids=lambda path: path.name)
every_promise = pytest.mark.parametrize("document", PROMISES, ids=lambda path: path.name)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def spans_of(document: Path) -> list[str]:
    """Return the code spans of a document, without the code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", read(document), flags=re.DOTALL))


def code_of(document: Path) -> str:
    """Return the code blocks and code spans of a document, separated by line breaks."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", read(document), re.DOTALL)).replace("`", "\n")


@cache
def declared_in(path: Path) -> frozenset[str]:
    """Return the names of the classes and functions of a test file, those in a class also as `Class::function`."""
    names = set()
    for node in ast.parse(read(path)).body:
        if isinstance(node, ast.ClassDef):
            inner = [each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            names |= {node.name, *inner, *(f"{node.name}::{name}" for name in inner)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return frozenset(names)


@cache
def all_tests() -> frozenset[str]:
    return frozenset().union(*(declared_in(path) for path in (ROOT / "tests").rglob("test_*.py")))


def is_test(name: str) -> bool:
    """Whether there is a test of this name: a path, a name in the file of a path (`path::name`), or a name alone."""
    path, separator, inner = name.partition("::")
    if not path.endswith(".py"):
        return name in all_tests()
    file = ROOT / path
    return file.is_file() and (not separator or inner in declared_in(file))


@every_promise
def test_every_named_test_exists(document: Path) -> None:
    named = {span for span in spans_of(document) if re.match(r"tests/|test_|Test[A-Z]", span)}

    assert named
    assert sorted(name for name in named if not is_test(name)) == []


@every_promise
def test_tests_that_are_named_with_a_file_are_in_it(document: Path) -> None:
    found = re.findall(r"((?:`\w+`(?:, | and ))*`\w+`) in `(tests/[\w/]+\.py)`", read(document))

    listed = [(name, path) for names, path in found for name in re.findall(r"`(\w+)`", names)]

    assert [(name, path) for name, path in listed if not is_test(f"{path}::{name}")] == []


@every_document
def test_every_named_path_exists(document: Path) -> None:
    paths = {span.partition("::")[0] for span in spans_of(document) if re.match(IN_A_FOLDER, span)}
    modules = {span for span in spans_of(document) if re.fullmatch(r"[a-z]\w*\.py", span)}

    known = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    known |= {path.name for path in ROOT.glob("*.py")}

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
    assert sorted(modules - known) == []


@every_document
def test_every_named_command_exists(document: Path) -> None:
    code = code_of(document)
    targets = set(re.findall(r"^([a-z]+):.*##", read(ROOT / "Makefile"), re.MULTILINE))
    (commands,) = (set(action.choices) for action in parser()._subparsers._group_actions)  # noqa: SLF001 - no public way.

    assert set(re.findall(r"^(?:\w+=\S+ )*make ([a-z]+)\b", code, re.MULTILINE)) <= targets
    assert set(re.findall(r"python -m core ([a-z-]+)", code)) <= commands
    assert [name for name in re.findall(r"python -m ([\w.]+)", code) if find_spec(name) is None] == []


@every_document
def test_every_named_command_of_allweather_exists_with_its_options(document: Path) -> None:
    code = re.sub(r"\\\n\s*", "", code_of(document))
    lines = re.findall(r"(?:^|[/(]| --rm \w+ )allweather((?: [\w@./:+-]+| \"[^\"]*\")+)", code, re.MULTILINE)

    assert [line for line in lines if (unknown := unknown_words(line.split()))] == [], unknown


def unknown_words(words: list[str]) -> list[str]:
    """Return what does not exist of the words after `allweather`: its command, the subcommand, or an option."""
    command: click.Command = allweather
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    options = {
        "--help",
        "--version",
        *(option for each in command.params for option in (*each.opts, *each.secondary_opts)),
    }
    return [word for word in words if word.startswith("-") and word not in options]


@every_document
def test_every_named_setting_exists(document: Path) -> None:
    """A name in capitals with an underscore is a setting, or else a variable or a constant in a source."""
    named = set(CAPITALS.findall(read(document)))
    settings = {name.upper() for name in Settings.model_fields}

    unknown = named - settings - {f"{name}_FILE" for name in settings} - names_in_sources()

    assert sorted(unknown) == []


@cache
def names_in_sources() -> frozenset[str]:
    """Return the names in capitals with an underscore of the code and of the files that start the processes."""
    files = [path for folder in FOLDERS if folder != "tests" for path in (ROOT / folder).rglob("*.py")]
    files += [ROOT / name for name in ("Procfile", "Makefile", "docker-compose.yml", "Dockerfile")]
    return frozenset(name for path in files for name in re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", read(path)))


# The requirements of levels 1 and 2 in OWASP ASVS 5.0.0: the sections of each chapter, with the number of the last one.
# Two chapters do not apply at all. Within a section, those of level 3 come last and are not counted here.
ASVS = {
    1: {1: 2, 2: 9, 3: 11, 4: 3, 5: 2},
    2: {1: 3, 2: 3, 3: 4, 4: 1},
    3: {2: 2, 3: 4, 4: 6, 5: 5, 7: 2},
    4: {1: 3, 2: 1, 3: 2, 4: 4},
    5: {1: 1, 2: 3, 3: 2, 4: 3},
    6: {1: 3, 2: 12, 3: 4, 4: 4, 5: 5, 6: 3, 8: 4},
    7: {1: 3, 2: 4, 3: 2, 4: 5, 5: 2, 6: 2},
    8: {1: 2, 2: 3, 3: 1, 4: 1},
    9: {1: 3, 2: 4},
    11: {1: 2, 2: 3, 3: 3, 4: 4, 5: 1, 6: 1},
    12: {1: 3, 2: 2, 3: 4},
    13: {1: 1, 2: 5, 3: 2, 4: 5},
    14: {1: 2, 2: 4, 3: 3},
    15: {1: 3, 2: 3, 3: 7},
    16: {1: 1, 2: 5, 3: 4, 4: 3, 5: 3},
}


def test_every_requirement_of_asvs_is_judged_once() -> None:
    text = read(ROOT / "docs" / "asvs.md")
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) [^|]+\| (?:yes|in part|no|by the operator) \|", text, re.MULTILINE)
    excluded = []
    for paragraph in re.findall(r"Not applicable: (.*?)\n\n", text, re.DOTALL):
        for section, first, last in re.findall(r"(\d+\.\d+)\.(\d+)(?:\s(?:to|and)\s\1\.(\d+))?", paragraph):
            excluded += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
    required = [
        f"{chapter}.{section}.{number}"
        for chapter, sections in ASVS.items()
        for section, count in sections.items()
        for number in range(1, count + 1)
    ]

    assert sorted([*rows, *excluded]) == sorted(required)
