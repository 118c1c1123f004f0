"""Run the parts of the benchmarks: `python -m benchmarks [PART ...]`. See README.md in this directory."""

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psutil

from benchmarks import compare, enrichment, event_retention, events, generators, growth, overload, processes
from benchmarks.stack import new_stack
from benchmarks.suite import Options, Result, progress
from benchmarks.tables import as_text

PARTS: Final[dict[str, ModuleType]] = {
    "compare": compare,
    "processes": processes,
    "overload": overload,
    "events": events,
    "growth": growth,
    "enrichment": enrichment,
}
PARTS_WHEN_NAMED: Final[dict[str, ModuleType]] = {"event_retention": event_retention}
"""These take so long that they are only run when they are named."""

_SMALLEST_SCALE: Final = 0.1
_RESULTS: Final = Path(".bench/results.json")
_PEER_PYTHON: Final = Path(".venv-bench/bin/python")


def main() -> None:
    """Run the parts one after the other, each with servers of its own; print their tables and write the results."""
    all_parts = PARTS | PARTS_WHEN_NAMED
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"Without a name, all parts run except {', '.join(PARTS_WHEN_NAMED)}.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(all_parts)}")
    parser.add_argument("--peer-python", type=Path, default=_PEER_PYTHON, help=f"(default: {_PEER_PYTHON})")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the usual rows and sockets, for a trial")
    parser.add_argument("--json", type=Path, default=_RESULTS, help=f"where the results go (default: {_RESULTS})")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - all_parts.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if not _SMALLEST_SCALE <= arguments.scale <= 1:
        parser.error(f"the scale is between {_SMALLEST_SCALE} and 1")
    # The path stays that of the link, because Python finds its virtual environment by it.
    options = Options(arguments.rounds, arguments.seconds, arguments.scale, arguments.peer_python.absolute())
    for name in arguments.parts or PARTS:
        progress(f"{name}: starting PostgreSQL and Redis")
        begun, load_before = time.monotonic(), os.getloadavg()[0]
        with new_stack() as stack:
            result: Result = all_parts[name].run(stack, options)
        _print(name, result)
        _write(arguments.json, name, asdict(result) | {"run": _about(options, time.monotonic() - begun, load_before)})


def _print(part: str, result: Result) -> None:
    for name, rows in result.tables.items():
        print(f"\n{part}: {name}\n\n{as_text(rows)}")


def _write(path: Path, part: str, result: dict[str, Any]) -> None:
    """Add the results of a part to the file. Parts that were not run keep their results there."""
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results | {part: result}, indent=1) + "\n", encoding="utf-8")


def _about(options: Options, seconds: float, load_before: float) -> dict[str, Any]:
    """Describe a run: when, where and how it was made."""
    return {
        "at": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
        "rounds": options.rounds,
        "seconds_each": options.seconds,
        "generator": generators.NAME,
        "cores": os.cpu_count(),
        "load_before": round(load_before, 1),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


if __name__ == "__main__":
    main()
