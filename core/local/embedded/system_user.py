"""A system user for programs that refuse to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

_ALL_MAY_TRAVERSE = stat.S_IXOTH
_ALL_MAY_READ = stat.S_IROTH


class SystemUserError(Exception):
    """The user does not exist and cannot be created; the message says why."""


def system_user(name: str) -> pwd.struct_passwd:
    """Return the system user `name`; the user is created if necessary."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    useradd = shutil.which("useradd")
    if useradd is None:
        raise SystemUserError(f"There is neither a user {name} nor the program useradd to make one.")
    done = subprocess.run(  # noqa: S603 - no argument comes from outside
        [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise SystemUserError(f"The user {name} cannot be made: {done.stderr.strip()}") from None


def allow_traversal(path: Path) -> None:
    """Let all users enter `path` and the directories above it; this does not let them list the files there."""
    for directory in (path, *path.parents):
        _allow(directory, _ALL_MAY_TRAVERSE)


def allow_reading(root: Path) -> None:
    """Let all users read the files below `root`, and execute those that their owner can execute."""
    for parent, _, files in os.walk(root):
        _allow(Path(parent), _ALL_MAY_READ | _ALL_MAY_TRAVERSE)
        for path in (Path(parent, file) for file in files):
            runs = path.stat().st_mode & stat.S_IXUSR
            _allow(path, _ALL_MAY_READ | (_ALL_MAY_TRAVERSE if runs else 0))


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
