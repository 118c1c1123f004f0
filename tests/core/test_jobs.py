"""Job declarations: each job has one work function."""

import pytest

from core import jobs
from core.events import Event
from core.jobs import Job, JobContext, JobDeclarationError, JobRequest


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
