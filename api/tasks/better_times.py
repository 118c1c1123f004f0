"""Better times for a task, and its move to one of them."""

from typing import Any, Final

from falcon.asgi import Response

from api.http.idempotency import Repeatable
from api.http.languages import ReaderLanguage
from api.http.operation import operation
from api.http.preconditions import ExpectedVersions
from api.http.resource import Resource
from api.http.routing import both
from api.tasks.better_times_schemas import BetterTimesOut, BetterTimesQuery, RescheduleInput
from api.tasks.schemas import TaskOut
from core.messages import translate
from core.policy import Actor, Scope
from core.representations import Representation
from core.services import better_times
from core.services.better_times import BetterTimes
from core.weather import attribution_of
from core.weather.ranking import Offer


class BetterTimesOfTask(Resource):
    """The better times of a task."""

    @operation(200, BetterTimesOut, tag="tasks", scope=Scope.TASKS_READ, errors=(403, 404))
    async def on_get(
        self, resp: Response, actor: Actor, task_id: int, query: BetterTimesQuery, language: ReaderLanguage
    ) -> dict[str, Any]:
        """Find better times for a task.

        Spans of the task's duration that satisfy its weather rule, inside its owner's working hours and beside the
        owner's other open tasks that the caller may read. Without a rule, the most comfortable weather comes first.
        """
        found = await self.bridge.run(better_times.find, actor, task_id, query.start, query.end, query.limit)
        resp.set_header("Content-Language", language)
        return _described(found, language)

    @operation(200, TaskOut, tag="tasks", scope=Scope.TASKS_WRITE, headers=("ETag",), errors=(403, 404, 409))
    async def on_post_reschedule(
        self, actor: Actor, task_id: int, body: RescheduleInput, expected: ExpectedVersions, request: Repeatable
    ) -> Representation:
        """Move a task to a better time.

        Its deadline becomes the end of the span. The history says which weather was expected before and then.
        """
        return await request.run_once(
            self.bridge, better_times.reschedule, actor, task_id, body.starts_at, body.due_at, expected
        )


def _described(found: BetterTimes, language: str) -> dict[str, Any]:
    forecast = found.forecast
    return {
        "status": found.status,
        "items": [_item(found, offer, language) for offer in found.offers],
        "rule": found.plan.rule_as_json,
        "provider": None if forecast is None else forecast.provider,
        "attribution": None if forecast is None else attribution_of(forecast.provider),
        "fetched_at": None if forecast is None else forecast.fetched_at,
    }


def _item(found: BetterTimes, offer: Offer, language: str) -> dict[str, Any]:
    span = {
        "starts_at": offer.span.starts_at,
        "ends_at": offer.span.ends_at,
        "due_at": found.plan.deadline(offer.span)["due_at"],
    }
    return span | {"reason": translate(offer.expected.in_words(), language)} | offer.expected.as_dict()


_TASK: Final = "/tasks/{task_id:id}"

ROUTES: Final = [
    *both(f"{_TASK}/better-times", BetterTimesOfTask),
    *both(f"{_TASK}/reschedule", BetterTimesOfTask, "reschedule"),
]
