"""Accounts, their sessions, the single-use tickets of WebSocket listeners, and the count of failed logins."""

from typing import Any, Self

from peewee import SQL, BigIntegerField, BlobField, BooleanField, CharField, IdentityField, IntegerField, TextField, fn
from playhouse.postgres_ext import ArrayField

from core.models.base import NOW, BaseModel, DateTimeTZField, JSONField
from core.names import name_key


class User(BaseModel):
    """An account."""

    id = IdentityField()
    username = CharField(254)
    email = CharField(254, null=True)
    username_key = TextField(null=True)
    email_key = TextField(null=True)
    full_name = CharField(200, null=True)
    password_hash = CharField(100)
    role = CharField(20, constraints=[SQL("DEFAULT 'user'")])
    is_active = BooleanField(constraints=[SQL("DEFAULT true")])
    locale = CharField(10, constraints=[SQL("DEFAULT 'en'")])
    timezone = CharField(64, constraints=[SQL("DEFAULT 'UTC'")])
    email_verified_at = DateTimeTZField(null=True)
    pending_email = CharField(254, null=True)
    unwanted_mail = ArrayField(TextField, index=False, constraints=[SQL("DEFAULT '{}'")])
    weather_rule = JSONField(null=True)
    working_hours = JSONField(null=True)
    weather_judge_after = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "users"

    @classmethod
    def named(cls, identifier: str) -> Self | None:
        """Find the account that has this email or this username.

        A username contains an `@` only if it is the account's own email, so an identifier never matches two accounts.
        A row that has no key yet is found by its exact name, in any case.
        """
        wanted = name_key(identifier)
        name, key = (cls.email, cls.email_key) if "@" in wanted else (cls.username, cls.username_key)
        is_named = (key == wanted) | (key.is_null() & (fn.lower(name) == fn.lower(identifier)))
        found: Self | None = cls.select().where(is_named).order_by(key.asc(nulls="first")).first()
        return found

    def profile(self) -> dict[str, Any]:
        """Return the account as its owner and admins see it, without the hash of the password."""
        return {
            "id": self.id,
            "username": self.username,
            "email": self.email,
            "email_verified": self.email_verified_at is not None,
            "pending_email": self.pending_email,
            "full_name": self.full_name,
            "role": self.role,
            "is_active": self.is_active,
            "locale": self.locale,
            "timezone": self.timezone,
            "weather_rule": self.weather_rule,
            "working_hours": self.working_hours,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


class Session(BaseModel):
    """One login, with its access tokens and its series of refresh tokens.

    A session with `scopes` belongs to a personal access token instead; its `name` is the name of the token.
    """

    id = IdentityField()
    user_id = BigIntegerField()
    ip_address = CharField(45, null=True)
    user_agent = CharField(400, null=True)
    refresh_counter = IntegerField(default=0)
    rotated_at = DateTimeTZField(constraints=NOW)
    created_at = DateTimeTZField(constraints=NOW)
    last_used_at = DateTimeTZField(constraints=NOW)
    expires_at = DateTimeTZField()
    revoked_at = DateTimeTZField(null=True)
    name = CharField(100, null=True)
    scopes = ArrayField(TextField, null=True, index=False)

    class Meta:
        table_name = "sessions"


class Ticket(BaseModel):
    """A permission to open one WebSocket within seconds; only a hash of the ticket is stored."""

    ticket_hash = BlobField(primary_key=True)
    session_id = BigIntegerField()
    expires_at = DateTimeTZField()
    token_expires_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "ws_tickets"


class LoginFailure(BaseModel):
    """How often logins have failed lately; `subject` is a hash of the account or name, or of this and the address."""

    subject = BlobField(primary_key=True)
    failures = IntegerField()
    failed_at = DateTimeTZField()
    blocked_until = DateTimeTZField()

    class Meta:
        table_name = "login_failures"
