"""The whole system, started with `python -m core run` and the processes of the Procfile."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import requests
from celery import Celery

from core import jobs
from tests.doubles.smtp import MailServer
from tests.doubles.weather import WeatherServer
from tests.polling import wait_until
from tests.processes import free_port, free_ports

PROJECT = Path(__file__).resolve().parents[2]
ADMIN = {"email": "ada@example.com", "password": "an admin of the tests"}
_STOP_SECONDS = 40


class System:
    """A running system and its addresses."""

    def __init__(
        self,
        data_directory: Path,
        weather: WeatherServer,
        mail: MailServer | None = None,
        redis_url: str = "",
        collector: str = "",
    ) -> None:
        self.weather = weather
        self.port, self.flower_port = free_port(), free_port()
        self.metrics_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.flower_url = f"http://127.0.0.1:{self.flower_port}"
        self.log = data_directory / "output"
        self.data_directory = data_directory
        given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        self._environment = given | {
            "APP_ENV": "development",
            "DATA_DIR": str(data_directory),
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "LOG_FILE": str(data_directory / "app.log"),
            "OPEN_METEO_URL": weather.url,
            "OPEN_METEO_GEOCODING_URL": weather.url,
            "ADMIN_EMAIL": ADMIN["email"],
            "ADMIN_PASSWORD": ADMIN["password"],
            "BCRYPT_ROUNDS": "4",
            "WORKER_CONCURRENCY": "2",
            "RATE_LIMIT_CREDENTIALS": "1000/minute",
            "RATE_LIMIT": "100000/minute",
            "SECRET_KEY": "",
            "REDIS_URL": redis_url,
            "SMTP_HOST": "" if mail is None else "127.0.0.1",
            "SMTP_PORT": "" if mail is None else str(mail.port),
            "SMTP_SECURITY": "none",
            "WEB_CONCURRENCY": "1",
            "METRICS_PORT": str(self.metrics_port),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        }
        self.start()

    def start(self) -> None:
        """Start all processes, with the data of an earlier start if there was one."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core", "run"],
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment,
            )

    def wait_until_ready(self) -> None:
        """Wait until the API is ready."""
        wait_until(lambda: self.returns_ok("/health/ready"), 60)

    def returns_ok(self, path: str) -> bool:
        """Return whether a GET of this path has the status 200."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(self.url + path, timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def refresh_forecasts(self) -> None:
        """Let the forecasts of all places be as old as if they were due, and let a worker fetch them now."""
        with closing(psycopg2.connect(self._url_of("postgresql"))) as database, database, database.cursor() as cursor:
            cursor.execute("UPDATE forecasts SET fetched_at = now() - interval '1 day', refresh_at = now()")
        with Celery(broker=self._url_of("redis")) as celery:
            celery.send_task(jobs.FORECASTS_REFRESH.name, queue=jobs.FORECASTS_REFRESH.queue)

    def _url_of(self, server: str) -> str:
        return (self.data_directory / server / "url").read_text()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Stop the system with a signal, as Ctrl-C or a service manager does, and return its exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(_STOP_SECONDS)
