"""Request bodies and responses of groups."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.fields import Input, Instant


class GroupInput(Input):
    """The name of a group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Roofers"}]})

    name: Annotated[str, Field(min_length=1, max_length=100)]


class MemberInput(Input):
    """The role of a user in a group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_manager": True}]})

    is_manager: bool = False


class Member(BaseModel):
    """A member of a group."""

    user_id: int
    username: str
    is_manager: bool
    joined_at: Instant


class GroupOut(BaseModel):
    """A group with its members."""

    id: int
    name: str
    created_at: Instant
    updated_at: Instant
    members: list[Member]
