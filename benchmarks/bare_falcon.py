"""The upper limit of `GET /health`: an application of Falcon that returns a constant, and has nothing else."""

import falcon.asgi


class Health:
    """The only resource."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Return the constant."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = b'{"status":"ok"}'


app: falcon.asgi.App = falcon.asgi.App()
app.add_route("/health", Health())
