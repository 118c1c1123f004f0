"""A system that runs for a whole test session, with what it needs around it.

The end-to-end tests, the tests in a browser and the tests that inject faults share it. Their accounts are new, so they
do not see each other's data.
"""

from collections.abc import Iterator

import pytest

from tests.doubles.otlp import Collector
from tests.doubles.smtp import MailServer
from tests.doubles.weather import WeatherServer
from tests.e2e.system import System
from tests.processes import free_port


@pytest.fixture(scope="session")
def provider() -> Iterator[WeatherServer]:
    """The weather provider of the system."""
    with WeatherServer() as server:
        yield server


@pytest.fixture(scope="session")
def weather(provider: WeatherServer) -> WeatherServer:
    """The weather provider of the system, where the tests of a directory use no other one."""
    return provider


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
    tmp_path_factory: pytest.TempPathFactory, provider: WeatherServer, mail: MailServer, collector: Collector
) -> Iterator[System]:
    running = System(tmp_path_factory.mktemp("data"), provider, mail, collector=collector.endpoint)
    try:
        running.wait_until_ready()
        yield running
    finally:
        exit_code = running.stop() if running.process.poll() is None else running.process.returncode
    assert exit_code == 0, running.log.read_text()
