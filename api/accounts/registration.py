"""Making an account: what every registration has in common."""

from api.http.resource import Resource
from core import security
from core.representations import Representation
from core.services import accounts


class RegistrationResource(Resource):
    """Something that makes accounts."""

    async def register(
        self, *, username: str, email: str | None, full_name: str | None, password: str, language: str
    ) -> Representation:
        """Hash the password, outside the database's threads, and make the account; returns its profile.

        Where mails can be sent, one in this language asks for the proof that the email belongs to the person.
        """
        rounds = self.settings.bcrypt_rounds
        password_hash = await self.bridge.run_password_work(security.hash_password, password, rounds)
        return await self.bridge.run(
            accounts.register,
            username=username,
            email=email,
            full_name=full_name,
            password_hash=password_hash,
            mail_language=language if self.settings.has_mail_server else None,
        )
