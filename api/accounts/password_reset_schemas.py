"""Request bodies and responses for forgotten passwords."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.accounts.schemas import Email, NewPassword
from api.http.fields import FormInput, Input, Verbatim

LinkToken = Annotated[str, Field(min_length=1, max_length=200)]


class ForgottenPassword(Input):
    """The address of an account whose password is forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "alice@example.com"}]})

    email: Email


class LinkPromise(BaseModel):
    """What happens next, for people; the same for every address."""

    detail: str


class PasswordReset(Input):
    """The token of a link, and the new password."""

    token: LinkToken
    password: NewPassword


class PasswordResetForm(FormInput):
    """The same from the page. It takes any text, because the page itself shows what is wrong with it."""

    token: str
    password: Annotated[str, Verbatim]
