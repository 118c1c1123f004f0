"""Caps on mails: how many one account may cause, how many one reader may get, and how many are sent in all.

Mails are counted in PostgreSQL, for each subject and each hour or day of the clock (UTC), just before a worker sends
them. So the caps hold for all workers together and without Redis, and a request that causes mails does not wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Self

import structlog

from core.db import unit_of_work, write

log = structlog.get_logger()

# `now()` is the time at which the transaction began, so all statements of an admission mean the same period. The order
# in which the rows are locked is always the same, so two admissions cannot deadlock.
_COUNT: Final = """
INSERT INTO mail_counts AS counted (subject, period_start, mails)
SELECT subject, date_trunc(period, now()), 1 FROM unnest(%(subjects)s::text[], %(periods)s::text[]) AS c (subject, period)
ORDER BY subject
ON CONFLICT (subject, period_start) DO UPDATE SET mails = counted.mails + 1
RETURNING subject, mails, period_start
"""

_TAKE_BACK: Final = """
UPDATE mail_counts SET mails = mails - 1
WHERE (subject, period_start) IN (SELECT * FROM unnest(%(subjects)s::text[], %(starts)s::timestamptz[]))
"""

_COUNT_REFUSAL: Final = """
UPDATE mail_counts SET refused = refused + 1
WHERE (subject, period_start) IN (SELECT * FROM unnest(%(subjects)s::text[], %(starts)s::timestamptz[]))
RETURNING subject, refused
"""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `mails` mails of a subject in an hour or day of the clock."""

    subject: str
    mails: int
    period: Literal["hour", "day"] = "hour"


@dataclass(frozen=True, slots=True)
class Admission:
    """The counts of a mail, and the caps that it would exceed; the mail may be sent if there are none."""

    counts: tuple[tuple[str, datetime], ...]
    exceeded: tuple[Cap, ...] = ()

    @classmethod
    def of(cls, caps: Sequence[Cap]) -> Self:
        """Count a mail for each of these caps. If it exceeds one of them, it is not counted at all.

        The first mail that a subject's cap refuses in its period is a line of the log, and no other one is.
        """
        subjects, periods = [cap.subject for cap in caps], [cap.period for cap in caps]
        with unit_of_work():
            rows = write(_COUNT, {"subjects": subjects, "periods": periods}).fetch_all()
            mails = {subject: number for subject, number, _ in rows}
            admission = cls(
                tuple((subject, start) for subject, _, start in rows),
                tuple(cap for cap in caps if mails[cap.subject] > cap.mails),
            )
            if admission.exceeded:
                admission.take_back()
                admission._count_refusal()
        return admission

    def take_back(self) -> None:
        """Count the mail no longer, because it was not sent."""
        with unit_of_work():
            write(_TAKE_BACK, _columns(self.counts))

    def _count_refusal(self) -> None:
        limits = {cap.subject: cap.mails for cap in self.exceeded}
        refused = tuple(count for count in self.counts if count[0] in limits)
        for subject, refusals in write(_COUNT_REFUSAL, _columns(refused)).fetch_all():
            if refusals == 1:
                log.warning("mails_capped", subject=subject, mails=limits[subject])


def _columns(counts: Sequence[tuple[str, datetime]]) -> dict[str, object]:
    return {"subjects": [subject for subject, _ in counts], "starts": [start for _, start in counts]}
