"""The deployment files and the documents agree with the code. These tests do not need Docker."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft7Validator

from core import jobs, policy
from core.config import Settings
from core.local.supervisor import read_procfile
from core.policy import Actor, GroupAccess, Role, TaskAccess
from tests.tables import table_of

ROOT = Path(__file__).resolve().parents[2]
REQUIRED_PACKAGES = (
    "falcon uvicorn peewee psycopg2-binary peewee-migrate celery redis pyjwt bcrypt requests falcon-limiter websockets "
    "pytest freezegun"
).split()
SETTINGS = [name.upper() for name in Settings.model_fields]
SECRETS = {"SECRET_KEY": "s" * 32, "POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r", "FLOWER_BASIC_AUTH": "ada:f"}
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?}")


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace `${NAME:-default}` and `${NAME:?message}`, as a shell and Compose do."""

    def value(match: re.Match[str]) -> str:
        if given := environ.get(match["name"]):
            return given
        if match["operator"] == ":-":
            return match["rest"]
        raise KeyError(match["name"])

    return VARIABLE.sub(value, text)


def compose(environ: Mapping[str, str] = SECRETS) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(expand(read("docker-compose.yml"), environ))
    return document


SERVICES = compose()["services"]
PROCESSES = read_procfile(ROOT / "Procfile")
OPTIONAL = ("prometheus", "grafana")


def errors_of_compose(document: dict[str, Any]) -> list[str]:
    """Return where a Compose file does not match the schema of the Compose Specification, and why."""
    validator = Draft7Validator(json.loads(read("tests/schemas/compose.json")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


class TestCompose:
    def test_the_file_matches_the_compose_specification(self) -> None:
        assert errors_of_compose(compose()) == []

    @pytest.mark.parametrize("mistake", [{"profile": ["metrics"]}, {"healthcheck": {"test": 1}}, {"pids_limit": []}])
    def test_the_schema_finds_mistakes(self, mistake: dict[str, object]) -> None:
        document = compose()
        document["services"]["grafana"] |= mistake

        assert errors_of_compose(document)

    def test_prometheus_and_grafana_are_started_only_on_request(self) -> None:
        profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}

        assert profiles == {key: ["metrics"] for key in OPTIONAL}

    def test_prometheus_finds_each_process_by_its_name(self) -> None:
        config = yaml.safe_load(read("deploy/prometheus/compose.yml"))

        targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}

        assert targets == {
            "allweather-web": ["web:9464"],
            "allweather-worker": ["worker:9465"],
            "allweather-beat": ["beat:9466"],
        }

    def test_grafana_finds_prometheus_and_its_dashboard(self) -> None:
        folder = "deploy/grafana/provisioning"
        (source,) = yaml.safe_load(read(f"{folder}/datasources/prometheus.yaml"))["datasources"]
        (provider,) = yaml.safe_load(read(f"{folder}/dashboards/allweather.yaml"))["providers"]
        mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]

        assert source["url"] == "http://prometheus:9090"
        assert "/etc/grafana/provisioning" in mounted
        assert f"{provider['options']['path']}/allweather.json" in mounted

    def test_nobody_can_change_grafana_and_it_calls_no_other_server(self) -> None:
        settings = SERVICES["grafana"]["environment"]

        assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
        assert settings["GF_AUTH_BASIC_ENABLED"] == "false"
        assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
        assert settings["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
        assert settings["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"

    @pytest.mark.parametrize("secret", SECRETS)
    def test_no_secret_has_a_default(self, secret: str) -> None:
        with pytest.raises(KeyError, match=secret):
            compose({name: value for name, value in SECRETS.items() if name != secret})

    @pytest.mark.parametrize("process", PROCESSES)
    def test_each_process_has_the_command_of_the_procfile(self, process: str) -> None:
        service = SERVICES[process]

        as_in_procfile = expand(PROCESSES[process], service["environment"])

        assert shlex.split(service["command"]) == shlex.split(as_in_procfile)

    @pytest.mark.parametrize("process", PROCESSES)
    def test_each_process_starts_after_its_dependencies(self, process: str) -> None:
        assert SERVICES[process]["depends_on"] == {
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }

    def test_the_worker_serves_every_queue(self) -> None:
        arguments = shlex.split(SERVICES["worker"]["command"])

        assert set(arguments[arguments.index("--queues") + 1].split(",")) == jobs.QUEUES

    def test_the_migration_runs_once_after_the_database_is_ready(self) -> None:
        migration = SERVICES["migrate"]

        assert migration["command"] == "python -m core migrate"
        assert migration["restart"] == "no"
        assert migration["depends_on"] == {"postgres": {"condition": "service_healthy"}}

    @pytest.mark.parametrize("server", ["postgres", "redis"])
    def test_servers_have_health_checks_and_volumes(self, server: str) -> None:
        assert SERVICES[server]["healthcheck"]["test"]
        assert [volume.split(":")[0] for volume in SERVICES[server]["volumes"]] == [server]
        assert server in compose()["volumes"]

    def test_redis_is_durable_and_never_evicts_keys(self) -> None:
        arguments = SERVICES["redis"]["command"]

        assert "--appendonly yes" in arguments
        assert "--maxmemory-policy noeviction" in arguments

    @pytest.mark.parametrize(("server", "oldest"), [("redis", (8, 2, 10)), ("postgres", (18, 6))])
    def test_servers_have_the_known_security_fixes(self, server: str, oldest: tuple[int, ...]) -> None:
        version = SERVICES[server]["image"].partition(":")[2].split(".")

        assert tuple(map(int, version)) >= oldest

    def test_postgresql_logs_no_values(self) -> None:
        arguments = set(shlex.split(SERVICES["postgres"]["command"]))

        assert arguments >= {"log_min_error_statement=panic", "log_error_verbosity=terse"}

    def test_postgresql_counts_statements(self) -> None:
        assert "shared_preload_libraries=pg_stat_statements" in shlex.split(SERVICES["postgres"]["command"])
        assert "CREATE EXTENSION pg_stat_statements" in compose()["configs"]["application-role"]["content"]

    def test_the_application_is_not_the_superuser(self) -> None:
        environment = SERVICES["web"]["environment"]

        assert urlsplit(environment["DATABASE_URL"]).username == "allweather"
        assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "postgres"
        assert SERVICES["postgres"]["configs"] == [
            {"source": "application-role", "target": "/docker-entrypoint-initdb.d/application-role.sql"}
        ]

    def test_ports_are_published_on_loopback_only(self) -> None:
        ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

        assert ports == [f"127.0.0.1:{port}:{port}" for port in (8000, 5555, 9090, 3000)]

    def test_images_are_pinned(self) -> None:
        tags = {name: service["image"].partition(":")[2] for name, service in SERVICES.items()}

        assert [name for name, tag in tags.items() if not re.search(r"\d+\.\d+", tag)] == []

    @pytest.mark.parametrize("name", ["migrate", *PROCESSES])
    def test_the_environment_gives_production_settings_without_a_log_file(self, name: str) -> None:
        settings = Settings.from_environ(SERVICES[name]["environment"])

        assert settings.log_file == ""
        assert not settings.is_development

    def test_containers_are_read_only_and_without_privileges(self) -> None:
        for name in ("migrate", *PROCESSES, *OPTIONAL):
            service = SERVICES[name]
            assert service["read_only"] is True, name
            assert service["mem_limit"], name
            assert service["pids_limit"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name


class TestImage:
    def test_copied_files_exist_and_are_not_ignored(self) -> None:
        sources = re.findall(r"^COPY (?!--from)(\S+) ", read("Dockerfile"), re.MULTILINE)
        let_through = re.findall(r"^!(\S+)$", read(".dockerignore"), re.MULTILINE)

        assert sorted(sources) == sorted(let_through)
        assert [source for source in sources if not (ROOT / source).exists()] == []

    def test_development_requirements_are_not_installed(self) -> None:
        assert "requirements-dev" not in read("Dockerfile")

    def test_the_image_does_not_run_as_root(self) -> None:
        assert re.findall(r"^USER (\S+)$", read("Dockerfile"), re.MULTILINE) == ["allweather"]

    def test_the_default_command_is_the_web_process(self) -> None:
        (command,) = re.findall(r"^CMD (\[.*])$", read("Dockerfile"), re.MULTILINE)

        assert yaml.safe_load(command) == shlex.split(PROCESSES["web"])


class TestContinuousIntegration:
    def test_the_tests_that_run_with_a_second_redis_exist(self) -> None:
        named = re.findall(r"tests/\S+\.py", read(".ci/run"))

        assert named
        assert [path for path in named if not (ROOT / path).is_file()] == []


class TestRequirements:
    @pytest.mark.parametrize("package", REQUIRED_PACKAGES)
    def test_every_required_package_is_pinned(self, package: str) -> None:
        assert re.search(rf"^{re.escape(package)}==\d[\w.]*$", read("requirements.txt"), re.MULTILINE)


class TestDocuments:
    @pytest.mark.parametrize("variable", SETTINGS)
    def test_every_setting_is_in_the_document_and_in_the_example_file(self, variable: str) -> None:
        assert f"\n| `{variable}` |" in read("docs/configuration.md")
        assert re.search(rf"^(?:# )?{variable}=", read(".env.example"), re.MULTILINE)

    def test_the_described_defaults_are_those_of_the_code(self) -> None:
        described = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", read("docs/configuration.md"), re.MULTILINE))
        environ = {name: value for name, value in described.items() if name in SETTINGS and value != "none"}
        required = {"SECRET_KEY": "s" * 32, "DATABASE_URL": "postgresql:///", "REDIS_URL": "redis://localhost"}

        assert Settings.from_environ(environ | required) == Settings.from_environ(required)

    @pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=str)
    def test_every_link_has_a_target(self, document: Path) -> None:
        links = re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text(encoding="utf-8"))

        assert [link for link in links if not has_target(document, link)] == []

    def test_every_error_code_is_described(self) -> None:
        sources = [
            path.read_text(encoding="utf-8") for package in ("api", "core") for path in (ROOT / package).rglob("*.py")
        ]
        patterns = (r'\bcode="(\w+)"', r'falcon\.\w+: \("(\w+)"')
        used = {code for source in sources for pattern in patterns for code in re.findall(pattern, source)}

        assert sorted(code for code in used if f"`{code}`" not in read("docs/errors.md")) == []

    def test_every_event_of_the_log_is_described(self) -> None:
        packages = [ROOT / package for package in ("api", "core", "worker")]
        sources = [path.read_text(encoding="utf-8") for package in packages for path in package.rglob("*.py")]
        written = {name for source in sources for name in re.findall(r'\b(?:log\.\w+|write)\(\s*"(\w+)"', source)}

        assert {"request", "job"} <= written
        assert sorted(name for name in written if f"`{name}`" not in read("docs/operations.md")) == []

    def test_every_job_is_described(self) -> None:
        assert [job.name for job in jobs.ALL if f"`{job.name}`" not in read("docs/operations.md")] == []

    def test_the_table_of_permissions_matches_the_policy(self) -> None:
        actors = {
            "owner": Actor(1, Role.USER, 1),
            "assignee": Actor(2, Role.USER, 2),
            "group member": Actor(3, Role.USER, 3),
            "group manager": Actor(4, Role.USER, 4),
            "stranger": Actor(5, Role.MANAGER, 5),
            "admin": Actor(6, Role.ADMIN, 6),
        }

        def task_of(actor: Actor) -> TaskAccess:
            return TaskAccess(1, 2, in_group=actor.user_id in {3, 4}, manages_group=actor.user_id == 4)

        rules = {
            "read task": lambda actor: policy.may_read_task(actor, task_of(actor)),
            "list task": lambda actor: policy.may_read_task(actor, task_of(actor)),
            "hear events of task": lambda actor: policy.may_read_task(actor, task_of(actor)),
            "update task": lambda actor: policy.may_update_task(actor, task_of(actor)),
            "find better times of task": lambda actor: policy.may_read_task(actor, task_of(actor)),
            "move task to a better time": lambda actor: policy.may_update_task(actor, task_of(actor)),
            "comment on task": lambda actor: policy.may_read_task(actor, task_of(actor)),
            "set and take back reminders of task": lambda actor: policy.may_update_task(actor, task_of(actor)),
            "assign task": lambda actor: policy.may_assign_task(actor, task_of(actor)),
            "delegate task": lambda actor: policy.may_delegate_task(actor, task_of(actor)),
            "delete others' comments on task": lambda actor: policy.may_delete_comment(actor, task_of(actor), 99),
            "delete task": lambda actor: policy.may_delete_task(actor, task_of(actor)),
            "delete attachment of another": lambda actor: policy.may_delete_attachment(actor, task_of(actor), 99),
            "see everyone's analytics": policy.sees_all_analytics,
            "administer accounts": policy.may_administer,
        }

        columns, *rows = table_of("docs/permissions.md", first_column="action", second_column="owner")

        assert {row[0] for row in rows} == set(rules)
        for action, *cells in rows:
            documented = {who: cell == "yes" for who, cell in zip(columns[1:], cells, strict=True)}
            assert documented == {who: rules[action](actor) for who, actor in actors.items()}, action

    def test_the_table_of_group_permissions_matches_the_policy(self) -> None:
        roles = {
            "member": (Role.USER, GroupAccess(is_member=True, is_manager=False)),
            "manager of it": (Role.USER, GroupAccess(is_member=True, is_manager=True)),
            "stranger": (Role.MANAGER, GroupAccess(is_member=False, is_manager=False)),
            "admin": (Role.ADMIN, GroupAccess(is_member=False, is_manager=False)),
        }
        rules = {
            "read group": policy.may_read_group,
            "rename, delete group, say who belongs to it": policy.may_manage_group,
            "invite into group": policy.may_manage_group,
        }

        columns, *rows = table_of("docs/permissions.md", first_column="group action", second_column="member")

        assert {row[0] for row in rows} == set(rules)
        for action, *cells in rows:
            documented = {who: cell == "yes" for who, cell in zip(columns[1:], cells, strict=True)}
            assert documented == {
                who: rules[action](Actor(1, role, 1), access) for who, (role, access) in roles.items()
            }


def has_target(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not anchor:
        return target.exists()
    return anchor in anchors_of(target.read_text(encoding="utf-8"))


def anchors_of(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
