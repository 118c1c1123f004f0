"""Forgotten passwords: asking for a link, and choosing a new password with it, by JSON or on a page for people."""

from typing import Final

from falcon.asgi import Request, Response

from api.accounts.logins import CallingClient, end_login
from api.accounts.password_reset_schemas import ForgottenPassword, LinkPromise, PasswordReset, PasswordResetForm
from api.accounts.passwords import PLACES, why_refused
from api.http.bodies import ANONYMOUS_BODY_BYTES
from api.http.errors import write_status
from api.http.languages import ReaderLanguage
from api.http.operation import RateLimit, operation, unlisted
from api.http.pages import PageField, PageForm, write_page
from api.http.resource import Resource
from api.http.routing import versioned
from api.http.validation import Pairs, validate
from core import security
from core.errors import Conflict, Failure, Rejected
from core.links import PASSWORD_RESET_PATH
from core.messages import msg, translate
from core.passwords import require_strong_password
from core.policy import Actor, Scope
from core.services import password_resets
from core.services.sessions import Client

_PROMISE: Final = msg(
    "If this is the confirmed address of an account, a mail with a link is on its way. If none arrives, ask an admin."
)
_TITLE: Final = msg("Choose a new password")
_EXPLANATION: Final = msg("The new password ends all sessions and personal access tokens of your account.")
_DONE: Final = msg("Your password is replaced. You can log in with the new one now.")
_NOT_DONE: Final = msg("Your password is not replaced.")
_FIELD: Final = PageField("password", msg("New password"), type="password", autocomplete="new-password")
_BUTTON: Final = msg("Replace the password")


class PasswordLink(Resource):
    """A link with which the owner of an account chooses a new password."""

    @operation(
        202, LinkPromise, tag="accounts", public=True, max_body=ANONYMOUS_BODY_BYTES, rate_limit=RateLimit.CREDENTIALS
    )
    async def on_post(self, resp: Response, body: ForgottenPassword, language: ReaderLanguage) -> dict[str, str]:
        """Ask for a link to choose a new password.

        It is mailed if this is the confirmed address of an active account, three times an hour at most. The response is
        the same for every address.
        """
        if self.settings.has_mail_server:
            await self.bridge.run(password_resets.request_link, body.email, language)
        resp.set_header("Content-Language", language)
        return {"detail": translate(_PROMISE, language)}

    @operation(202, tag="administration", scope=Scope.ADMIN, admin=True, errors=(404, 409))
    async def on_post_account(self, actor: Actor, user_id: int) -> None:
        """Send an account a link to choose a new password.

        It goes to the account's address, also if the address is not confirmed: make sure that it is the owner's.
        """
        if not self.settings.has_mail_server:
            raise Conflict(msg("This server sends no mails."), code="mail_not_set_up")
        await self.bridge.run(password_resets.send_link, actor, user_id)


class NewPassword(Resource):
    """The page to which the link leads, and the new password."""

    @unlisted
    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page that asks for the new password. It does not use up the link, since programs open links too."""
        try:
            form = await self._form(req.get_param("token") or "")
        except Rejected as failure:
            self._show_failure(req, resp, failure)
        else:
            write_page(req, resp, title=_TITLE, text=_EXPLANATION, form=form)

    @operation(
        204,
        tag="accounts",
        public=True,
        max_body=ANONYMOUS_BODY_BYTES,
        rate_limit=RateLimit.CREDENTIALS,
        errors=(400,),
    )
    async def on_post(
        self, req: Request, resp: Response, body: PasswordReset | PasswordResetForm, client: CallingClient
    ) -> None:
        """Choose a new password with the token of a link.

        The link can be used once, within 30 minutes. All sessions and personal access tokens of the account end. A form
        gets a page in response, also if the password is refused.
        """
        if isinstance(body, PasswordReset):
            await self._replace(resp, body, client)
            return
        try:
            await self._replace(resp, validate(PasswordReset, Pairs(body.model_dump())), client)
        except Failure as failure:
            try:
                self._show_failure(req, resp, failure, await self._form(body.token))
            except Rejected as refusal:
                self._show_failure(req, resp, refusal)
        else:
            resp.status = 200
            write_page(req, resp, title=_TITLE, text=_DONE)

    async def _replace(self, resp: Response, reset: PasswordReset, client: Client) -> None:
        """Replace the password.

        Nothing is hashed before the link was checked, and only one password of an account at a time.
        """
        owner = await self.bridge.run(password_resets.check_token, reset.token, self.issuer)
        resp.context.user_id = owner.user_id  # For the log line of the request, whatever the password is.
        with PLACES.taken_by(owner.user_id):
            min_score = self.settings.password_min_score
            await self.bridge.run_password_work(require_strong_password, reset.password, owner.names, min_score)
            rounds = self.settings.bcrypt_rounds
            password_hash = await self.bridge.run_password_work(security.hash_password, reset.password, rounds)
            ended = await self.bridge.run(
                password_resets.reset_password, reset.token, password_hash, client.ip_address, self.issuer
            )
        self.authenticator.forget(ended)
        end_login(resp)

    async def _form(self, token: str) -> PageForm:
        """Return the form for the owner of a link.

        It is sent to a path without the token, so that not even a proxy logs the token a second time.

        Raises:
            Rejected: with code `link_invalid`; then the form would be of no use.
        """
        owner = await self.bridge.run(password_resets.check_token, token, self.issuer)
        path = PASSWORD_RESET_PATH.rpartition("/")[2]
        return PageForm(
            _BUTTON, action=path, hidden=(("token", token),), fields=(_FIELD,), account=owner.email or owner.username
        )

    def _show_failure(self, req: Request, resp: Response, failure: Failure, form: PageForm | None = None) -> None:
        """Show a page that says what went wrong, with the form again if the link can still be used."""
        write_status(resp, failure)
        write_page(req, resp, title=_TITLE, text=_NOT_DONE, form=form, error=why_refused(failure))


ROUTES: Final = [
    *versioned("/auth/password/forgot", PasswordLink),
    *versioned("/users/{user_id:id}/password_reset", PasswordLink, "account"),
    *versioned(PASSWORD_RESET_PATH, NewPassword),
]
