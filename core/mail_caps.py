"""Caps on mails: how many one account may cause, how many one reader may get, and how many are sent in all.

Mails are counted in PostgreSQL, for each subject and each hour or day of the clock (UTC), just before a worker sends
them. So the caps hold for all workers together and without Redis, and a request that causes mails does not wait.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Self

import structlog

from core.config import Settings
from core.db import unit_of_work, write
from core.names import name_key

log = structlog.get_logger()

_ALL: Final = "all"
_UNPROVED: Final = "unproved"
# The mail of a registration, and the five more that may be requested in a day.
_MAILS_TO_UNPROVED_ADDRESS: Final = 6

# `now()` is the time at which the transaction began, so all statements of an admission mean the same period. This and
# `_TAKE_BACK` lock the rows in the same order, that of the subjects, so two workers cannot deadlock.
_COUNT: Final = """
INSERT INTO mail_counts AS counted (subject, period_start, mails)
SELECT subject, date_trunc(period, now()), 1
FROM unnest(%(subjects)s::text[], %(periods)s::text[]) AS cap (subject, period) ORDER BY subject
ON CONFLICT (subject, period_start) DO UPDATE SET mails = counted.mails + 1
RETURNING subject, mails, period_start
"""

_TAKE_BACK: Final = """
WITH counted AS (
    SELECT subject, period_start FROM mail_counts
    WHERE (subject, period_start) IN (SELECT * FROM unnest(%(subjects)s::text[], %(starts)s::timestamptz[]))
    ORDER BY subject FOR UPDATE)
UPDATE mail_counts m SET mails = m.mails - 1 FROM counted
WHERE (m.subject, m.period_start) = (counted.subject, counted.period_start)
"""

_COUNT_REFUSAL: Final = """
UPDATE mail_counts SET refused = refused + 1
WHERE (subject, period_start) IN (SELECT * FROM unnest(%(subjects)s::text[], %(starts)s::timestamptz[]))
RETURNING subject, refused
"""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `mails` mails of a subject in an hour or day of the clock.

    `waits` says whether a mail over the cap waits for the next hour; otherwise it is not sent at all.
    """

    subject: str
    mails: int
    period: Literal["hour", "day"] = "hour"
    waits: bool = False


def notification_caps(settings: Settings, sender_id: int, recipient_id: int) -> tuple[Cap, ...]:
    """Return the caps of a notification's mail. The subjects are also named in `core.services.notifications`."""
    return (
        # The last fifth is for mails about accounts, which somebody waits for.
        Cap(_ALL, settings.mails_per_hour * 4 // 5),
        Cap(f"sender {sender_id}", settings.mails_per_hour_per_sender),
        Cap(f"recipient {recipient_id}", settings.mails_per_hour_per_recipient),
    )


def account_mail_caps(settings: Settings) -> tuple[Cap, ...]:
    """Return the caps of a mail about an account to an address that was proved, or for which an admin vouches."""
    return (Cap(_ALL, settings.mails_per_hour, waits=True),)


def invitation_caps(settings: Settings, inviter_id: int) -> tuple[Cap, ...]:
    """Return the further caps of an invitation, which counts with the notifications that the inviter causes."""
    return (Cap(f"sender {inviter_id}", settings.mails_per_hour_per_sender, waits=True),)


def unproved_address_caps(settings: Settings, address: str) -> tuple[Cap, ...]:
    """Return the caps of a mail to an address that nobody has proved, whichever account names the address.

    Anybody can cause such mails without an account, so they get at most three fifths of all mails. The last
    tenth is for the others about accounts, above all for links to a new password, which work for half an hour only.

    The subject of an address is a digest, so that neither the table nor the log shows the address.
    """
    digest = hashlib.sha256(name_key(address).encode()).hexdigest()
    in_all = settings.mails_per_hour
    return (
        Cap(_ALL, max(in_all * 9 // 10, 1), waits=True),
        Cap(_UNPROVED, max(in_all * 3 // 5, 1), waits=True),
        Cap(f"address {digest[:32]}", _MAILS_TO_UNPROVED_ADDRESS, "day"),
    )


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
