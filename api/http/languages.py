"""The language of a response's texts: the one that the request asks for, or else that of the caller's profile."""

from typing import Annotated

from falcon.asgi import Request

from api.http.call import Call, FromRequest
from core.messages import language_of, preferred_language


def reader_language(req: Request) -> str:
    """The language of a request's texts; before the caller is known, only the header counts."""
    asked = preferred_language(req.get_header("Accept-Language") or "")
    actor = getattr(req.context, "actor", None)
    return asked or language_of(None if actor is None else actor.locale)


def _of_call(call: Call) -> str:
    return reader_language(call.request)


ReaderLanguage = Annotated[str, FromRequest(_of_call)]
"""The language in which the caller reads, one of `core.messages.LANGUAGES`."""
