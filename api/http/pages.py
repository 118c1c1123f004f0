"""Small HTML pages for people who open a link of a mail in a browser: a text, and a form if there is something to send.

A page has no script, loads nothing, and its form sends only to this server.
"""

import base64
import hashlib
import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from falcon.asgi import Request, Response

from api.http.languages import reader_language
from core.messages import msg, translate

_ACCOUNT: Final = msg("Account")
_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:10vh auto;max-width:28rem;padding:0 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25}button,input{font:inherit;box-sizing:border-box;padding:.5rem .75rem}"
    "label,input{display:block;width:100%}label{margin-top:1rem}button{margin-top:1.5rem}"
    "[role=alert]{border-left:.25rem solid;margin:.5rem 0;padding-left:.75rem}"
    "[readonly]{border-color:transparent;padding-left:0}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{parts}
</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class PageField:
    """A field of a form that a person fills in; `autocomplete` tells browsers and password managers what it is for."""

    name: str
    label: str
    type: str = "text"
    autocomplete: str = "off"


@dataclass(frozen=True, slots=True)
class PageForm:
    """A form with one button, which sends its fields by POST.

    Attributes:
        button: The text of the button.
        action: The path to send to; None for the address of the page itself, with its query.
        hidden: The names and values of fields that nobody sees.
        fields: The fields to fill in.
        account: The name of the account that the fields are for. It is shown, so that password managers store it
            together with the new password; it is not sent.
    """

    button: str
    action: str | None = None
    hidden: tuple[tuple[str, str], ...] = ()
    fields: tuple[PageField, ...] = ()
    account: str | None = None


def wants_page(req: Request) -> bool:
    """Whether a request comes from a browser that shows its response to a person."""
    return "text/html" in req.accept


def write_page(
    req: Request, resp: Response, *, title: str, text: str, form: PageForm | None = None, error: str | None = None
) -> None:
    """Write a page in the language of its reader. The caller sets the status, if it is not 200.

    The error is shown above the fields of the form, which name it as their description, or else below the text.
    The address of the page may contain a secret, so the page is not stored, and other sites do not learn its address.
    """
    language = reader_language(req)

    def shown(message: str) -> str:
        return html.escape(translate(message, language))

    parts = [f"<p>{shown(text)}</p>"]
    alert = "" if error is None else f'<p id="error" role="alert"><strong>{shown(error)}</strong></p>'
    parts.append(alert if form is None else _form(form, alert, shown))
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("Content-Language", language)
    resp.set_header("Cache-Control", "no-store")
    resp.text = _PAGE.format(language=language, style=_STYLE, title=shown(title), parts="\n".join(parts))


def _form(form: PageForm, alert: str, shown: Callable[[str], str]) -> str:
    """Return the HTML of a form. The first field has the focus, so that people can type at once."""
    action = "" if form.action is None else f' action="{html.escape(form.action)}"'
    parts = [f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in form.hidden]
    if form.account is not None:
        parts.append(
            f'<label for="account">{shown(_ACCOUNT)}</label>'
            f'<input id="account" autocomplete="username" value="{html.escape(form.account)}" readonly>'
        )
    parts.append(alert)
    described = ' aria-describedby="error" aria-invalid="true"' if alert else ""
    for number, field in enumerate(form.fields):
        focus = "" if number else " autofocus"
        parts.append(
            f'<label for="{field.name}">{shown(field.label)}</label><input id="{field.name}" name="{field.name}" '
            f'type="{field.type}" autocomplete="{field.autocomplete}" required{described}{focus}>'
        )
    return f'<form method="post"{action}>{"".join(parts)}<button>{shown(form.button)}</button></form>'
