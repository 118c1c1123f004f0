"""Let root run a program as a system user of its own, for programs that refuse to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

_EVERYBODY_MAY_PASS = stat.S_IXOTH
_EVERYBODY_MAY_READ = stat.S_IROTH


class SystemUserError(Exception):
    """There is no such user and none can be made; the message says why."""


def system_user(name: str) -> pwd.struct_passwd:
    """Answer the system user `name`, made where there is none yet."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    useradd = shutil.which("useradd")
    if useradd is None:
        raise SystemUserError(f"There is neither a user {name} nor the program useradd to make one.")
    done = subprocess.run(  # noqa: S603 - nothing in here comes from outside
        [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise SystemUserError(f"The user {name} cannot be made: {done.stderr.strip()}") from None


def open_passage(path: Path) -> None:
    """Let everybody pass through `path` and the directories above it, which does not let them list any."""
    for directory in (path, *path.parents):
        _allow(directory, _EVERYBODY_MAY_PASS)


def open_tree(root: Path) -> None:
    """Let everybody read what is below `root`, and run what its owner can run."""
    for parent, _, files in os.walk(root):
        _allow(Path(parent), _EVERYBODY_MAY_READ | _EVERYBODY_MAY_PASS)
        for path in (Path(parent, file) for file in files):
            runs = path.stat().st_mode & stat.S_IXUSR
            _allow(path, _EVERYBODY_MAY_READ | (_EVERYBODY_MAY_PASS if runs else 0))


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
