"""The language of a response: the one in the `Accept-Language` header, or else the one in the caller's profile."""

from typing import Annotated

from falcon.asgi import Request

from api.http.call import Call, FromRequest
from core.messages import language_of, preferred_language


def reader_language(req: Request) -> str:
    """Return the language to respond in. Before the caller is authenticated, only the header is used."""
    asked = preferred_language(req.get_header("Accept-Language") or "")
    actor = getattr(req.context, "actor", None)
    return asked or language_of(None if actor is None else actor.locale)


def _of_call(call: Call) -> str:
    return reader_language(call.request)


ReaderLanguage = Annotated[str, FromRequest(_of_call)]
"""The language to respond in, one of `core.messages.LANGUAGES`."""
