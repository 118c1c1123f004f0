"""The core on which the threads of a web process stay."""

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api import cores
from api.cores import stay_on_core
from api.http.threads import Bridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ONLY LINUX KEEPS THREADS ON A CORE")


def in_a_thread_of_its_own(function: Callable[[], Any]) -> Any:
    """Run a function in a thread that ends, since only the calling thread is kept on a core."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize(("process", "core"), [("web", 2), ("web-1", 2), ("web-2", 5), ("web-3", 2), ("web-12", 5)])
def test_each_process_has_a_core_of_its_own_as_long_as_there_are_enough(
    process: str, core: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[set[int]] = []
    monkeypatch.setattr(cores, "_ALL", {5, 2})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _thread, chosen: kept.append(chosen))

    stay_on_core(process)

    assert kept == [{core}]


def test_only_passwords_and_files_use_other_cores() -> None:
    async def cores_of_calls(bridge: Bridge) -> list[set[int]]:
        calls = (bridge.run, bridge.run_password_work, bridge.run_file_io)
        return [await call(os.sched_getaffinity, 0) for call in calls]

    def serve() -> list[set[int]]:
        stay_on_core("web")
        bridge = Bridge(database_threads=1, database_seconds=10, password_threads=1)
        try:
            return asyncio.run(cores_of_calls(bridge))
        finally:
            bridge.close()

    every = os.sched_getaffinity(0)

    assert in_a_thread_of_its_own(serve) == [{min(every)}, every, every]
    assert os.sched_getaffinity(0) == every
