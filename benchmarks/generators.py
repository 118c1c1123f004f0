"""The top load of a server: by `wrk` where it is installed, else by the generator in Python (`benchmarks.load`)."""

import json
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import load
from benchmarks.figures import percentile
from benchmarks.load import CONNECTIONS, Request

_WRK: Final = shutil.which("wrk")
NAME: Final = f"wrk, one thread, {CONNECTIONS} connections" if _WRK else f"Python, {CONNECTIONS} connections"

# wrk prints the result of `done` as its last line.
_SCRIPT: Final = """
wrk.method, wrk.body = {method}, {body}
wrk.headers["Authorization"], wrk.headers["Content-Type"] = {authorization}, "application/json"
done = function(summary, latency)
    local bad = summary.errors
    io.write(string.format('{{"responses": %d, "microseconds": %d, "bad": %d, "p99": %d}}\\n', summary.requests,
        summary.duration, bad.connect + bad.read + bad.write + bad.status + bad.timeout, latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """Good responses and their number per second, p99 in ms, and the CPU share of the generator (1 is a whole core)."""

    responses: int
    rate: float
    p99: float
    generator_share: float


def top_load(port: int, request: Request, seconds: float) -> Load:
    """Send requests on all connections without a pause.

    Raises:
        RuntimeError: if a response is not 2xx, or a connection fails.
    """
    return _by_wrk(_WRK, port, request, seconds) if _WRK else _by_python(port, request, seconds)


def _by_wrk(wrk: str, port: int, request: Request, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        # The text of a JSON string is also that of a string in Lua, as long as it is plain ASCII.
        authorization = json.dumps(f"Bearer {request.token}")
        body = json.dumps(request.body.decode())
        script.write(_SCRIPT.format(method=json.dumps(request.method), body=body, authorization=authorization))
        script.flush()
        before = _cpu_of_children()
        command = [
            wrk,
            "--threads=1",
            "--timeout=30s",
            f"--connections={CONNECTIONS}",
            f"--duration={max(round(seconds), 1)}s",
        ]
        done = subprocess.run(  # noqa: S603 - the program is wrk, and the arguments are our own.
            [*command, f"--script={Path(script.name)}", f"http://127.0.0.1:{port}{request.path}"],
            capture_output=True,
            text=True,
            check=True,
        )
    result = json.loads(done.stdout.splitlines()[-1])
    if result["bad"]:
        raise RuntimeError(done.stdout)
    taken = result["microseconds"] / 1e6
    share = (_cpu_of_children() - before) / taken
    return Load(result["responses"], result["responses"] / taken, result["p99"] / 1000, share)


def _by_python(port: int, request: Request, seconds: float) -> Load:
    started, before = time.monotonic(), time.process_time()
    taken = load.flood(port, request, seconds)
    elapsed = time.monotonic() - started
    p99 = percentile(taken, 99) * 1000
    return Load(len(taken), len(taken) / elapsed, p99, (time.process_time() - before) / elapsed)


def _cpu_of_children() -> float:
    """Return the CPU time of the child processes that have ended, which is only the generator while one measures."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
