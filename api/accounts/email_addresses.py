"""Proving that an email address is one's own, by the link or the code of a mail."""

from typing import Final

from falcon.asgi import Request, Response

from api.accounts.schemas import EmailProof, EmailProofForm
from api.http.auth import require_actor, require_scope
from api.http.bodies import ANONYMOUS_BODY_BYTES
from api.http.languages import ReaderLanguage
from api.http.operation import RateLimit, operation, unlisted
from api.http.pages import PageForm, wants_page, write_page
from api.http.resource import Resource
from api.http.routing import versioned
from core.errors import Conflict, Rejected
from core.messages import msg
from core.policy import Actor
from core.services import email_addresses

_TITLE: Final = msg("Confirm your email address")
_QUESTION: Final = msg("Confirm the address only if you have entered it yourself. Otherwise close this page.")
_BUTTON: Final = msg("Yes, confirm the address")
_DONE: Final = msg("Your email address is confirmed. You can close this page.")
_FAILED: Final = msg("Your email address is not confirmed.")

_BAD_REQUEST: Final = 400


class EmailVerification(Resource):
    """The link in the mail that proves an address: a page for people, and the operation that its button calls."""

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page with a button. Programs that scan mails open links, so a GET must not use the link."""
        hidden = (("token", req.get_param("token") or ""),)
        write_page(req, resp, title=_TITLE, text=_QUESTION, form=PageForm(_BUTTON, action=req.path, hidden=hidden))

    @operation(
        204,
        tag="accounts",
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(400, 401, 403),
    )
    async def on_post(self, req: Request, resp: Response, body: EmailProof | EmailProofForm) -> None:
        """Confirm an email address.

        With the token of the mail's link, without a login; or with the mail's code of 8 digits and the access token of
        a login. Both work once, for 24 hours. After five wrong codes only the link works.
        """
        try:
            await self._verify(req, body)
        except Rejected as failure:
            if not wants_page(req):
                raise
            resp.status = _BAD_REQUEST
            write_page(req, resp, title=_TITLE, text=_FAILED, error=failure.detail)
            return
        if wants_page(req):
            resp.status = 200
            write_page(req, resp, title=_TITLE, text=_DONE)

    async def _verify(self, req: Request, body: EmailProof | EmailProofForm) -> None:
        if body.token is not None:
            await self.bridge.run(email_addresses.verify_by_token, body.token, self.issuer)
        else:
            actor = await require_actor(req)
            require_scope(actor, None)
            await self.bridge.run(email_addresses.verify_by_code, actor, body.required_code, self.issuer)


class EmailVerificationMail(Resource):
    """The mail that proves an address."""

    @operation(204, tag="accounts", errors=(400, 409))
    async def on_post_resend(self, actor: Actor, language: ReaderLanguage) -> None:
        """Request another mail to confirm an email address.

        The mail goes to the address that waits in `pending_email`, otherwise to the unconfirmed address of the account.
        The link and the code of earlier mails end. At most one mail a minute, and five a day.
        """
        if not self.settings.has_mail_server:
            raise Conflict(msg("This server sends no mails."), code="mail_not_set_up")
        await self.bridge.run(email_addresses.resend_verification, actor, language)


ROUTES: Final = [
    *versioned("/auth/email/verify", EmailVerification),
    *versioned("/auth/email/resend", EmailVerificationMail, "resend"),
]
