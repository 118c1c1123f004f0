"""The application object for an ASGI server: `api.asgi:app`."""

import os

from api.app import create_app
from core import logs
from core.config import Settings

_settings = Settings.from_environ(os.environ)
logs.configure(_settings, "web", in_background=True)
app = create_app(_settings)
