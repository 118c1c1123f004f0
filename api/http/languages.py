"""Which language the reader of an answer reads: the one the request asks for, or else that of the profile."""

from falcon.asgi import Request

from core.messages import language_of, preferred_language


def reader_language(req: Request) -> str:
    """The language of a request's texts; before anybody knows who calls, only the header counts."""
    asked = preferred_language(req.get_header("Accept-Language") or "")
    actor = getattr(req.context, "actor", None)
    return asked or language_of(None if actor is None else actor.locale)
