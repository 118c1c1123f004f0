"""Keeps the threads of a web process on one core.

Only one thread of a Python process runs at a time, the one that holds the interpreter's lock. If the threads are on
several cores, each hand-over of the lock wakes another core, which costs more than the threads gain: on two cores, a
process that is kept on one serves 4,474 reads of a task in a second, and otherwise 3,028.

Threads that hash passwords or read files do not hold the lock meanwhile, so they may use all cores.
"""

import os
import sys
from typing import Final

_IS_POSSIBLE: Final = sys.platform == "linux"
_ALL: Final = os.sched_getaffinity(0) if _IS_POSSIBLE else set[int]()


def stay_on_core(process: str) -> None:
    """Keep this thread, and all that it starts, on one core: another one for each of the processes `web-1`, `web-2`, …

    Systems other than Linux have no call for this.
    """
    if _IS_POSSIBLE:
        number = int(process.rpartition("-")[2]) if process[-1:].isdigit() else 1
        cores = sorted(_ALL)
        os.sched_setaffinity(0, {cores[(number - 1) % len(cores)]})


def use_all_cores() -> None:
    """Let this thread run on each core that the process had at its start."""
    if _IS_POSSIBLE:
        os.sched_setaffinity(0, _ALL)
