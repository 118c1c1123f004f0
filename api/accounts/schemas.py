"""Request bodies and responses of accounts, logins and sessions."""

import zoneinfo
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.http.fields import FormInput, Input, Instant, Verbatim, WrongField, refuse_null
from api.tasks.weather_schemas import WeatherRule, WorkingHours, stored
from core.messages import msg
from core.names import has_unseen_characters, normalized, normalized_email
from core.policy import Role
from core.security import PASSWORD_MAX_LENGTH, PASSWORD_MIN_LENGTH

# This is longer than a token of any other kind, so that such a token is read and gets a 401, as any wrong token does.
_TOKEN_LENGTH: Final = 8192
_NAME_LENGTH: Final = 254
# A code has 8 digits; people may type spaces between them.
_CODE_LENGTH: Final = 20


def _email(value: str) -> str:
    try:
        return normalized_email(value)
    except ValueError:
        raise ValueError(msg("is not an email address")) from None


def _normalized_username(value: object) -> object:
    # A text that is too long stays as it is, and `max_length` refuses it. The time that Unicode normalization takes
    # grows with the square of the length of some texts.
    return normalized(value) if isinstance(value, str) and len(value) <= _NAME_LENGTH else value


def _visible(value: str) -> str:
    if has_unseen_characters(value):
        raise ValueError(msg("must not hold control characters or characters that cannot be seen"))
    return value


# The copy of the database on some machines has this name for their own zone; PostgreSQL does not know it.
_ZONE_OF_THE_MACHINE: Final = "localtime"


def _time_zone(value: str) -> str:
    if value == _ZONE_OF_THE_MACHINE or value not in zoneinfo.available_timezones():
        raise ValueError(msg("is not a time zone of the IANA database, such as Europe/Berlin"))
    return value


Email = Annotated[str, Field(max_length=_NAME_LENGTH, examples=["alice@example.com"]), AfterValidator(_email)]
Username = Annotated[
    str,
    Field(min_length=1, max_length=_NAME_LENGTH, pattern=r"^[^\s]+$", examples=["alice"]),
    AfterValidator(_visible),
    BeforeValidator(_normalized_username),
]
FullName = Annotated[str, Field(max_length=200, examples=["Alice Archer"])]
NewPassword = Annotated[
    str,
    Verbatim,
    Field(min_length=PASSWORD_MIN_LENGTH, max_length=PASSWORD_MAX_LENGTH, examples=["correct horse battery"]),
]
Password = Annotated[
    str, Verbatim, Field(min_length=1, max_length=PASSWORD_MAX_LENGTH, examples=["correct horse battery"])
]
InvitationToken = Annotated[str, Field(min_length=1, max_length=500, description="The token of an invitation.")]
Locale = Annotated[str, Field(max_length=10, pattern=r"^[a-z]{2}(-[A-Z]{2})?$", examples=["en"])]
TimeZone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(_time_zone)]


def _require_own_email(username: str, email: str | None) -> None:
    """Refuse a username with an `@` unless it is the account's own email; it could be the email of another account."""
    if "@" in username and username != email:
        raise WrongField("username", msg("may hold an @ only where it is the account's own email"))


class Registration(Input):
    """A new account: an email, a username, or both. Where the username is left out it is the email."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"email": "alice@example.com", "password": "correct horse battery", "full_name": "Alice Archer"}
            ]
        }
    )

    email: Email | None = None
    username: Username | None = None
    password: NewPassword
    full_name: FullName | None = None
    invitation: InvitationToken | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.email is None and self.username is None:
            raise ValueError(msg("an email or a username is needed"))
        if self.email is None and self.username is not None and "@" in self.username:
            # Some clients have only a username field, and people enter their email there.
            try:
                self.email = self.username = _email(self.username)
            except ValueError as error:
                raise WrongField("username", *error.args) from None
        if self.username is not None:
            _require_own_email(self.username, self.email)
        return self

    @property
    def required_username(self) -> str:
        """The username, or the email if no username was sent."""
        return self.username or self.email or ""


class Login(Input):
    """A login with an email or a username, either of which may stand in either field."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "alice@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[str, Field(max_length=254)] | None = None
    username: Annotated[str, Field(max_length=254)] | None = None
    password: Password

    @model_validator(mode="after")
    def _has_one_name(self) -> Self:
        if (self.email is None) == (self.username is None):
            raise ValueError(msg("either an email or a username is needed"))
        return self

    @property
    def identifier(self) -> str:
        """The username or email to log in with."""
        return self.username or self.email or ""


class LoginForm(FormInput):
    """A login as the OAuth 2 password flow sends it. What else that flow may send is taken and not used."""

    username: Annotated[str, Field(max_length=254)]
    password: Password
    grant_type: Literal["password", ""] | None = None
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = None

    @property
    def identifier(self) -> str:
        """The username or email to log in with."""
        return self.username


class ProfileChange(Input):
    """The fields of one's profile to change; a new email or password needs the current password beside it."""

    email: Email | None = None
    username: Username | None = None
    full_name: FullName | None = None
    locale: Locale | None = None
    timezone: TimeZone | None = None
    weather_rule: WeatherRule | None = None
    working_hours: WorkingHours | None = None
    password: NewPassword | None = None
    current_password: Password | None = None

    @model_validator(mode="after")
    def _is_allowed(self) -> Self:
        refuse_null(self, "username", "locale", "timezone", "password")
        if self.password is not None and self.current_password is None:
            raise WrongField("current_password", msg("is needed to change the password"))
        return self

    def columns(self) -> dict[str, Any]:
        """Return the changed fields without the passwords."""
        columns = self.model_dump(exclude_unset=True, exclude={"password", "current_password"})
        objects = {"weather_rule": self.weather_rule, "working_hours": self.working_hours}
        return columns | {name: stored(value) for name, value in objects.items() if name in columns}


class EmailProof(Input):
    """The proof of an email address: the token of a mail's link, or the code of the mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "27182818"}]})

    token: Annotated[str, Field(max_length=_TOKEN_LENGTH)] | None = None
    code: Annotated[str, Field(max_length=_CODE_LENGTH)] | None = None

    @model_validator(mode="after")
    def _has_one_proof(self) -> Self:
        if (self.token is None) == (self.code is None):
            raise ValueError(msg("either a token or a code is needed"))
        return self

    @property
    def required_code(self) -> str:
        """The code, without the spaces that people type between its digits."""
        return "".join((self.code or "").split())


class EmailProofForm(EmailProof, FormInput):
    """The same, as the form of the page that the link opens."""


class RefreshRequest(Input):
    """A refresh token; browsers may leave the body away and send the cookie instead."""

    refresh_token: Annotated[str, Field(max_length=_TOKEN_LENGTH)] | None = None


class Profile(BaseModel):
    """An account as its owner and admins see it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 1,
                    "username": "alice",
                    "email": "alice@example.com",
                    "email_verified": True,
                    "pending_email": None,
                    "full_name": "Alice Archer",
                    "role": "user",
                    "is_active": True,
                    "locale": "en",
                    "timezone": "Europe/Berlin",
                    "weather_rule": None,
                    "working_hours": None,
                    "created_at": "2026-05-01T09:00:00+00:00",
                    "updated_at": "2026-05-01T09:00:00+00:00",
                }
            ]
        }
    )

    id: int
    username: str
    email: str | None
    email_verified: Annotated[bool, Field(description="Whether a mail to this address has proved it.")]
    pending_email: Annotated[
        str | None, Field(description="The address that replaces it as soon as a mail has proved it.")
    ]
    full_name: str | None
    role: Role
    is_active: bool
    locale: str
    timezone: str
    weather_rule: Annotated[WeatherRule | None, Field(description="The rule of tasks that have none of their own.")]
    working_hours: Annotated[WorkingHours | None, Field(description="Null means every day from 08:00 to 20:00.")]
    created_at: Instant
    updated_at: Instant


class TokenGrant(BaseModel):
    """What a login or a refresh gives. `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of the scheme, no secret.
    expires_in: int
    user: Profile


class SessionInfo(BaseModel):
    """One of the caller's sessions."""

    id: int
    ip_address: str | None
    user_agent: str | None
    created_at: Instant
    last_used_at: Instant
    expires_at: Instant
    current: bool
