"""Request bodies, queries and responses of feedback."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.fields import AsciiDigits, Input, Instant, PageQuery

Rating = Annotated[int, Field(ge=1, le=5, examples=[4]), AsciiDigits]
Message = Annotated[str, Field(min_length=1, max_length=5000, examples=["The weather makes all the difference."])]


class FeedbackInput(Input):
    """A rating of the application, from 1 (poor) to 5 (excellent), with an optional text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rating": 5, "message": "I am never rained on."}]})

    rating: Rating
    message: Message | None = None


class FeedbackQuery(PageQuery):
    """Which feedback to list."""

    rating: Rating | None = None


class FeedbackOut(BaseModel):
    """Feedback from a user. `user_id` is null if the account was deleted."""

    id: int
    user_id: int | None
    rating: Rating
    message: str | None
    created_at: Instant
