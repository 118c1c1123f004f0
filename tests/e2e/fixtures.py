"""A system that runs for a whole test session, for the end-to-end tests and the tests that inject faults."""

from collections.abc import Iterator

import pytest

from tests.doubles.otlp import Collector
from tests.doubles.smtp import MailServer
from tests.doubles.weather import WeatherServer
from tests.e2e.system import System
from tests.processes import free_port


@pytest.fixture(scope="session")
def weather() -> Iterator[WeatherServer]:
    with WeatherServer() as server:
        yield server


@pytest.fixture(scope="session")
def mail() -> Iterator[MailServer]:
    with MailServer(free_port()) as server:
        yield server


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="session")
def system(
    tmp_path_factory: pytest.TempPathFactory, weather: WeatherServer, mail: MailServer, collector: Collector
) -> Iterator[System]:
    running = System(tmp_path_factory.mktemp("data"), weather, mail, collector=collector.endpoint)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
