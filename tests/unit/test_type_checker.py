"""The type checker finds mistakes that would otherwise fail only when a request is handled."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HANDLER = """
from api.groups.schemas import GroupInput
from api.http.idempotency import Repeatable
from api.http.resource import Resource
from api.tasks.schemas import TaskInput
from core.policy import Actor
from core.services import groups, idempotency, tasks


class Item(Resource):
    async def on_post(self, actor: Actor, task_id: int, body: GroupInput, request: Repeatable) -> object:
        return await {call}


def kept(claim: idempotency.Claim, actor: Actor, body: GroupInput) -> object:
    return {once}
"""
GOOD_CALL = "self.bridge.run(tasks.read_task, actor, task_id)"
GOOD_ONCE = "idempotency.once(claim, groups.create_group, actor, body.name, 200)"


def check(directory: Path, sources: dict[str, str]) -> dict[str, str]:
    """Check several modules with one run of mypy, and return its messages for each module."""
    for name, source in sources.items():
        (directory / f"{name}.py").write_text(source, encoding="utf-8")
    paths = [str(directory / f"{name}.py") for name in sources]
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", *paths]
    finished = subprocess.run(  # noqa: S603 - the command consists of constants.
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode in {0, 1}, finished.stdout + finished.stderr
    lines = finished.stdout.splitlines()
    return {name: "\n".join(line for line in lines if f"{name}.py" in line) for name in sources}


def test_mypy_finds_missing_arguments_wrong_ids_and_wrong_bodies(tmp_path: Path) -> None:
    calls = {
        "good": GOOD_CALL,
        "run_drops_an_argument": "self.bridge.run(tasks.read_task, actor)",
        "run_takes_text_for_an_id": "self.bridge.run(tasks.read_task, actor, str(task_id))",
        "run_takes_a_wrong_body": "self.bridge.run(tasks.update_task, actor, task_id, body)",
        "run_reads_a_wrong_body": "self.bridge.run(tasks.create_task, actor, body.values(), 200)",
        "run_once_drops_an_argument": "request.run_once(self.bridge, groups.create_group, actor, body.name)",
        "run_once_takes_a_wrong_body": "request.run_once(self.bridge, groups.create_group, actor, body, 200)",
    }
    kept = {
        "once_drops_an_argument": "idempotency.once(claim, groups.create_group, actor, body.name)",
        "once_takes_a_wrong_body": "idempotency.once(claim, groups.create_group, actor, body, 200)",
    }
    sources = {name: HANDLER.format(call=call, once=GOOD_ONCE) for name, call in calls.items()}
    sources |= {name: HANDLER.format(call=GOOD_CALL, once=once) for name, once in kept.items()}

    messages = check(tmp_path, sources)

    assert messages.pop("good") == ""
    kinds = {name: text.rpartition("[")[2].rstrip("]") for name, text in messages.items()}
    assert kinds == {
        "run_drops_an_argument": "call-arg",
        "run_takes_text_for_an_id": "arg-type",
        "run_takes_a_wrong_body": "arg-type",
        "run_reads_a_wrong_body": "attr-defined",
        "run_once_drops_an_argument": "call-arg",
        "run_once_takes_a_wrong_body": "arg-type",
        "once_drops_an_argument": "call-arg",
        "once_takes_a_wrong_body": "arg-type",
    }
