"""The page to which the link of an invitation leads: it takes a password and makes the account."""

from typing import Final

from falcon.asgi import Request, Response

from api.accounts.invitation_schemas import InvitedRegistration, InvitedRegistrationForm
from api.accounts.passwords import why_refused
from api.accounts.registration import RegistrationResource
from api.http.bodies import ANONYMOUS_BODY_BYTES
from api.http.errors import write_status
from api.http.languages import ReaderLanguage
from api.http.operation import RateLimit, operation, unlisted
from api.http.pages import PageField, PageForm, write_page
from api.http.routing import versioned
from api.http.validation import Pairs, validate
from core.errors import Failure, Forbidden, Invalid
from core.messages import msg
from core.services import invitations

_TITLE: Final = msg("You are invited")
_QUESTION: Final = msg("Choose a password. Your account will have the email address to which the invitation was sent.")
_FIELD: Final = PageField("password", msg("Password"), type="password", autocomplete="new-password")
_BUTTON: Final = msg("Register")
_DONE: Final = msg("You are registered. You can log in with your email address and your password now.")
_NOT_DONE: Final = msg("You are not registered.")


class InvitationPage(RegistrationResource):
    """The registration of a person who has opened the link of an invitation."""

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page that asks for a password. Programs that scan mails open links, so a GET changes nothing."""
        try:
            form = await self._form(req.get_param("token") or "")
        except Forbidden as failure:
            self._show_failure(req, resp, failure)
        else:
            write_page(req, resp, title=_TITLE, text=_QUESTION, form=form)

    @operation(
        204,
        tag="accounts",
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(400, 403),
    )
    async def on_post(
        self, req: Request, resp: Response, body: InvitedRegistrationForm, language: ReaderLanguage
    ) -> None:
        """Register with an invitation, on its page.

        For the page only, which is the response. Programs register as everybody does, with `invitation` in the body.
        """
        try:
            await self._register(validate(InvitedRegistration, Pairs(body.model_dump())), language)
        except Failure as failure:
            try:
                form = await self._form(body.invitation) if isinstance(failure, Invalid) else None
            except Forbidden as refusal:
                self._show_failure(req, resp, refusal)
            else:
                self._show_failure(req, resp, failure, form)
        else:
            resp.status = 200
            write_page(req, resp, title=_TITLE, text=_DONE)

    async def _register(self, registration: InvitedRegistration, language: str) -> None:
        email = await self.bridge.run(invitations.address_of, registration.invitation, self.issuer)
        await self.register(
            username=email,
            email=email,
            full_name=None,
            password=registration.password,
            language=language,
            invitation=registration.invitation,
        )

    async def _form(self, token: str) -> PageForm:
        """Return the form for the address of an invitation.

        The token is a field of the form. Otherwise the address with the token would be sent, and logged, once more.

        Raises:
            Forbidden: with code `invitation_invalid`; then the form would be of no use.
        """
        email = await self.bridge.run(invitations.address_of, token, self.issuer)
        return PageForm(_BUTTON, action="?", hidden=(("invitation", token),), fields=(_FIELD,), account=email)

    def _show_failure(self, req: Request, resp: Response, failure: Failure, form: PageForm | None = None) -> None:
        write_status(resp, failure)
        write_page(req, resp, title=_TITLE, text=_NOT_DONE, form=form, error=why_refused(failure))


ROUTES: Final = versioned("/auth/invitation", InvitationPage)
