"""A system user for programs that refuse to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path


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


def may_enter(directory: Path) -> bool:
    """Return whether all users may enter a directory, for which they must also be able to enter those above it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (directory, *directory.parents))


def may_read(root: Path) -> bool:
    """Return whether all users may read the files below `root`, and execute those that their owner can execute."""
    return may_enter(root) and all(path.stat().st_mode & bits == bits for path, bits in _needed(root))


def copy_for_all(root: Path, copy: Path) -> None:
    """Copy all files below `root` so that all users who may enter the directory of the copy may read the copy."""
    shutil.copytree(root, copy)
    for path, bits in _needed(copy):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)


def _needed(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield all directories and files below `root`, with the bits of the mode that let all users use them."""
    for parent, _, files in os.walk(root):
        yield Path(parent), stat.S_IROTH | stat.S_IXOTH
        for path in (Path(parent, file) for file in files):
            runs = path.stat().st_mode & stat.S_IXUSR
            yield path, stat.S_IROTH | (stat.S_IXOTH if runs else 0)
