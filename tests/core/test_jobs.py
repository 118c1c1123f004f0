"""Job declarations: each job has one work function, and the types of its arguments are checked."""

from pathlib import Path

import pytest
from mypy import api as mypy

from core import jobs
from core.events import Event
from core.jobs import Job, JobContext, JobDeclarationError, JobRequest

PROJECT = Path(__file__).resolve().parents[2]
CHECKED = """
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
WRONG = {
    "    context.send(jobs.ACCOUNT_MAIL_SEND)",
    '    context.send(jobs.ACCOUNT_MAIL_SEND, "7")',
    '    jobs.ACCOUNT_MAIL_SEND.request("7")',
    "    jobs.MAIL_SWEEP.request(7)",
    "@jobs.ACCOUNT_MAIL_SEND.work",
}


def test_names_are_unique() -> None:
    assert len({job.name for job in jobs.ALL}) == len(jobs.ALL)


def test_every_declared_job_has_a_work_function() -> None:
    assert [job for job in jobs.ALL if not callable(job.required_work())] == []


def test_a_job_without_a_work_function_raises() -> None:
    with pytest.raises(JobDeclarationError, match=r"tasks\.archive"):
        Job[()]("tasks.archive").required_work()


def test_a_second_work_function_for_a_job_raises() -> None:
    job = Job[()]("tasks.archive")

    def archive(_context: JobContext) -> None: ...

    job.work(archive)

    with pytest.raises(JobDeclarationError, match="archive"):
        job.work(archive)


def test_all_jobs_declared_for_an_event_follow_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.jobs._causes", {})
    event = Event(1, "task.created", 7, None, (), "", None, "{}")

    @jobs.caused_by("task.created", "task.updated")
    def enrich(_event: Event) -> list[JobRequest]:
        return [jobs.WEATHER_ENRICH.request()]

    @jobs.caused_by("task.created")
    def mail(event: Event) -> list[JobRequest]:
        return [jobs.ACCOUNT_MAIL_SEND.request(event.task_id or 0)]

    assert list(jobs.following_from(event)) == [
        JobRequest("weather.enrich"),
        JobRequest("account_mail.send", (7,)),
    ]


def test_the_type_checker_finds_jobs_sent_with_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(CHECKED)
    monkeypatch.chdir(PROJECT)

    found, _, _ = mypy.run(["--config-file", "pyproject.toml", "--no-error-summary", str(snippet)])

    lines = CHECKED.splitlines()
    assert {lines[int(line.split(":")[1]) - 1] for line in found.splitlines() if ": error: " in line} == WRONG, found
