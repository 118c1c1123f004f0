"""The type checker finds mistakes that would otherwise fail only when a request is handled."""

import subprocess
import sys
from pathlib import Path

import pytest

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
JOBS = """
from core import jobs
from core.jobs import JobContext

def send(context: JobContext) -> None:
    context.send(jobs.ACCOUNT_MAIL_SEND, 7)
    context.send(jobs.MAIL_SWEEP)
    context.send(jobs.ACCOUNT_MAIL_SEND)
    context.send(jobs.ACCOUNT_MAIL_SEND, "7")
    jobs.ACCOUNT_MAIL_SEND.request("7")
    jobs.MAIL_SWEEP.request(7)

@jobs.ACCOUNT_MAIL_SEND.work
def work(context: JobContext, notification_id: str) -> None: ...

@jobs.MAIL_SWEEP.work
def sweep(context: JobContext) -> int: return 0
"""
WRONG_JOBS = {
    "    context.send(jobs.ACCOUNT_MAIL_SEND)",
    '    context.send(jobs.ACCOUNT_MAIL_SEND, "7")',
    '    jobs.ACCOUNT_MAIL_SEND.request("7")',
    "    jobs.MAIL_SWEEP.request(7)",
    "@jobs.ACCOUNT_MAIL_SEND.work",
}

GOOD_CALL = "self.bridge.run(tasks.read_task, actor, task_id)"
GOOD_ONCE = "idempotency.once(claim, groups.create_group, actor, body.name, 200)"
CALLS = {
    "good": GOOD_CALL,
    "run_drops_an_argument": "self.bridge.run(tasks.read_task, actor)",
    "run_takes_text_for_an_id": "self.bridge.run(tasks.read_task, actor, str(task_id))",
    "run_takes_a_wrong_body": "self.bridge.run(tasks.update_task, actor, task_id, body)",
    "run_reads_a_wrong_body": "self.bridge.run(tasks.create_task, actor, body.values(), 200)",
    "run_once_drops_an_argument": "request.run_once(self.bridge, groups.create_group, actor, body.name)",
    "run_once_takes_a_wrong_body": "request.run_once(self.bridge, groups.create_group, actor, body, 200)",
}
KEPT = {
    "once_drops_an_argument": "idempotency.once(claim, groups.create_group, actor, body.name)",
    "once_takes_a_wrong_body": "idempotency.once(claim, groups.create_group, actor, body, 200)",
}
SOURCES = {name: HANDLER.format(call=call, once=GOOD_ONCE) for name, call in CALLS.items()}
SOURCES |= {name: HANDLER.format(call=GOOD_CALL, once=once) for name, once in KEPT.items()}
SOURCES |= {"jobs": JOBS}


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The messages of mypy for each module. One run checks all of them, since most of its work is what they import."""
    directory = tmp_path_factory.mktemp("checked")
    for name, source in SOURCES.items():
        (directory / f"{name}.py").write_text(source, encoding="utf-8")
    paths = [str(directory / f"{name}.py") for name in SOURCES]
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", *paths]
    finished = subprocess.run(  # noqa: S603 - the command consists of constants.
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    lines = finished.stdout.splitlines()
    return {name: [line for line in lines if f"/{name}.py:" in line] for name in SOURCES}


def test_mypy_finds_missing_arguments_wrong_ids_and_wrong_bodies(messages: dict[str, list[str]]) -> None:
    kinds = {name: messages[name][-1].rpartition("[")[2].rstrip("]") for name in (CALLS | KEPT) if messages[name]}

    assert messages["good"] == []
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


def test_mypy_finds_jobs_sent_with_wrong_arguments(messages: dict[str, list[str]]) -> None:
    lines = JOBS.splitlines()

    wrong = {lines[int(message.split(":")[1]) - 1] for message in messages["jobs"] if ": error: " in message}

    assert wrong == WRONG_JOBS, messages["jobs"]
