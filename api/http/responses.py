"""Lists in their envelope."""

from falcon.asgi import Response

from api.http.fields import PageQuery
from core.representations import Page


def answer_page(resp: Response, page: Page, query: PageQuery) -> None:
    """Answer `{items, total, skip, limit}`, with the total in a header as well."""
    resp.set_header("X-Total-Count", str(page.total))
    resp.data = f'{{"items":{page.items},"total":{page.total},"skip":{query.skip},"limit":{query.limit}}}'.encode()
