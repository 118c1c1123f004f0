"""A copy of the project that starts in a moment."""

import shutil
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

_WEB = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
json.dump(dict(os.environ), open("environment.new", "w"))
os.rename("environment.new", "environment")
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def copy_project(directory: Path) -> Path:
    """Copy the project into a directory, with only a simple web process, and return the directory.

    The process writes its environment into the file `environment`, and says that it is ready.
    """
    for part in ("core", "migrations"):
        shutil.copytree(_ROOT / part, directory / part)
    (directory / "web.py").write_text(_WEB)
    (directory / "Procfile").write_text("web: python web.py\n")
    return directory
