"""Which tests run in the same process of the test run."""

from xdist.scheduler import LoadFileScheduling

_DIRECTORIES_OF_THE_SYSTEM = ("tests/browser/", "tests/e2e/")
_WITHOUT_THE_SYSTEM = "tests/e2e/test_processes.py"


class OneSystemScheduling(LoadFileScheduling):
    """Runs the tests of a file in one process of the test run, and all files that need the whole system in one, too.

    Otherwise each process that has any of them would start a system. The groups of xdist 3.8 have no effect with
    pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "the system" if file.startswith(_DIRECTORIES_OF_THE_SYSTEM) and file != _WITHOUT_THE_SYSTEM else file
