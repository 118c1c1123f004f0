"""Making an account: what every registration has in common."""

from typing import Any

from api.http.resource import Resource
from core import security
from core.errors import Forbidden
from core.messages import msg
from core.passwords import require_strong_password
from core.representations import Representation
from core.services import accounts, invitations


class RegistrationResource(Resource):
    """Something that makes accounts."""

    async def register(
        self,
        *,
        username: str,
        email: str | None,
        full_name: str | None,
        password: str,
        language: str,
        invitation: str | None,
        accepts_weak_password: bool = False,
    ) -> Representation:
        """Check whether this person may register, hash the password, and make the account; returns its profile.

        The password is checked and hashed in the threads for passwords. Where mails can be sent, one in this language
        asks for the proof that the email belongs to the person, unless an invitation has proved it.

        Raises:
            Forbidden: with code `registration_closed`, `invitation_needed` or `invitation_invalid`.
            Invalid: if the password is weak, unless a weak one is accepted.
            Rejected: with code `account_taken`.
        """
        await self._require_permission(invitation)
        if not accepts_weak_password:
            names, min_score = (username, email, full_name), self.settings.password_min_score
            await self.bridge.run_password_work(require_strong_password, password, names, min_score)
        rounds = self.settings.bcrypt_rounds
        account: dict[str, Any] = {
            "username": username,
            "email": email,
            "full_name": full_name,
            "password_hash": await self.bridge.run_password_work(security.hash_password, password, rounds),
            "mail_language": language if self.settings.has_mail_server else None,
        }
        if invitation is None:
            return await self.bridge.run(accounts.register, **account)
        return await self.bridge.run(invitations.register, invitation, self.issuer, **account)

    async def _require_permission(self, invitation: str | None) -> None:
        """Refuse whoever may not register, before a password is hashed for them."""
        mode = self.settings.registration
        if mode == "closed":
            raise registration_closed()
        if invitation is not None:
            await self.bridge.run(invitations.address_of, invitation, self.issuer)
        elif mode == "invite":
            raise Forbidden(msg("An invitation is needed to register here."), code="invitation_needed")


def registration_closed() -> Forbidden:
    """Return the failure for a registration where nobody may register."""
    return Forbidden(msg("Nobody can register here."), code="registration_closed")
