"""The manifests for Kubernetes: valid by the schemas of Kubernetes and KEDA, and in agreement with the code."""

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from core import jobs
from core.config import Settings
from core.local.supervisor import read_procfile

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
PROCESSES = ("web", "worker", "beat")
SECRET = {
    "SECRET_KEY": "s" * 32,
    "DATABASE_URL": "postgresql://allweather:p@db/allweather?sslmode=verify-full",
    "REDIS_URL": "redis+sentinel://:r@one,two,three/allweather",
}


@cache
def resources() -> tuple[dict[str, Any], ...]:
    """Return everything that the two directories of manifests contain, without the kustomizations themselves."""
    files = [
        directory / name
        for directory in (MANIFESTS, MANIFESTS / "migrate")
        for name in kustomization(directory)["resources"]
    ]
    return tuple(document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8")))


def kustomization(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    return found


def resource(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in resources() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def title(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document['metadata']['name']}"


def component(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"]).removeprefix("allweather-")


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]
    return found


def container_of(name: str) -> dict[str, Any]:
    kind = "Job" if name == "migrate" else "Deployment"
    (found,) = pod_of(resource(kind, f"allweather-{name}"))["containers"]
    return dict(found)


@cache
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "tests" / "schemas" / "kubernetes.json").read_text(encoding="utf-8"))
    return found


def errors_of(document: dict[str, Any]) -> list[str]:
    """Return where a resource does not match the schema of its kind, and why. Unknown fields do not match."""
    name = schemas()["kinds"][f"{document['apiVersion']} {document['kind']}"]
    schema = {"$ref": f"#/definitions/{name}", "definitions": schemas()["definitions"]}
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


every_resource = pytest.mark.parametrize("document", resources(), ids=title)
every_pod = pytest.mark.parametrize("name", [*PROCESSES, "migrate"])


@every_resource
def test_every_resource_matches_the_schema_of_its_kind(document: dict[str, Any]) -> None:
    assert errors_of(document) == []


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "allweather-web", ("spec", "template", "spec", "containers", 0, "readynessProbe"), {}),
        ("Deployment", "allweather-worker", ("spec", "template", "spec", "containers", 0, "name"), 5),
        ("ScaledObject", "allweather-worker", ("spec", "maxReplicas"), 8),
    ],
)
def test_the_schemas_find_mistakes(kind: str, name: str, path: tuple[Any, ...], value: object) -> None:
    document = json.loads(json.dumps(resource(kind, name)))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert errors_of(document)


def test_every_file_belongs_to_a_kustomization() -> None:
    listed = {
        directory / name
        for directory in (MANIFESTS, MANIFESTS / "migrate")
        for name in ["kustomization.yaml", *kustomization(directory)["resources"]]
    }

    assert set(MANIFESTS.rglob("*.yaml")) == listed


def test_both_kustomizations_use_the_same_image_in_the_same_namespace() -> None:
    one, other = (kustomization(directory) for directory in (MANIFESTS, MANIFESTS / "migrate"))

    assert (one["images"], one["namespace"]) == (other["images"], other["namespace"])
    assert {container_of(name)["image"] for name in (*PROCESSES, "migrate")} == {one["images"][0]["name"]}


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_the_command_of_the_procfile(process: str) -> None:
    container = container_of(process)
    in_procfile = re.sub(r"\$\{\w+:-(\w+)}", r"\1", read_procfile(ROOT / "Procfile")[process])

    assert container["command"] + container.get("args", []) == shlex.split(in_procfile)


def test_the_worker_serves_every_queue() -> None:
    arguments = container_of("worker")["args"]

    assert set(arguments[arguments.index("--queues") + 1].split(",")) == jobs.QUEUES


def test_the_migration_is_a_job_of_its_own() -> None:
    assert container_of("migrate")["command"] == ["python", "-m", "core", "migrate"]


def test_the_config_map_and_the_secret_give_production_settings() -> None:
    plain = resource("ConfigMap", "allweather")["data"]

    settings = Settings.from_environ(plain | SECRET)

    assert {name.lower() for name in plain} <= set(Settings.model_fields)
    assert (settings.is_development, settings.log_file, settings.attachment_storage) == (False, "", "s3")


@every_pod
def test_secrets_are_only_referred_to(name: str) -> None:
    container = container_of(name)
    secret_fields = {field for field, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)}
    written = {entry["name"] for entry in container.get("env", [])} | set(resource("ConfigMap", "allweather")["data"])

    assert {"secretRef": {"name": "allweather"}} in container["envFrom"]
    assert {field.upper() for field in secret_fields} & written == set()
    assert [each for each in resources() if each["kind"] == "Secret"] == []


@every_pod
def test_pods_have_no_rights_that_they_do_not_need(name: str) -> None:
    """This is what the pod security standard "restricted" asks for, and a read-only file system."""
    pod = pod_of(resource("Job" if name == "migrate" else "Deployment", f"allweather-{name}"))
    (uid,) = re.findall(r"--uid (\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(uid),
        "runAsGroup": int(uid),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container_of(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


@every_pod
def test_every_container_has_requests_and_a_limit_of_memory(name: str) -> None:
    limits = container_of(name)["resources"]

    assert set(limits["requests"]) == {"cpu", "memory"}
    assert "memory" in limits["limits"]


def test_web_is_asked_for_its_health() -> None:
    web = container_of("web")
    paths = {probe: web[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert paths == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/health/ready"}
    assert {port["containerPort"] for port in web["ports"]} == {8000}
    assert {"name": "PORT", "value": "8000"} in web["env"]


@pytest.mark.parametrize("process", PROCESSES)
def test_a_drained_node_takes_away_one_pod_at_a_time(process: str) -> None:
    budget = resource("PodDisruptionBudget", f"allweather-{process}")["spec"]

    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == resource("Deployment", f"allweather-{process}")["spec"]["selector"]


def test_autoscaling_finds_its_deployments_and_sets_their_number_alone() -> None:
    targets = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in resources()
        if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }

    assert targets == {"allweather-web", "allweather-worker"}
    assert [name for name in targets if "replicas" in resource("Deployment", name)["spec"]] == []


def test_only_web_can_be_reached_and_all_pods_are_restricted() -> None:
    every, web = resource("NetworkPolicy", "allweather")["spec"], resource("NetworkPolicy", "allweather-web")["spec"]

    assert every["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in every
    assert web["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "web"}
    assert "169.254.0.0/16" in [cidr for rule in every["egress"] for to in rule["to"] for cidr in excluded_from(to)]


def excluded_from(peer: dict[str, Any]) -> list[str]:
    found: list[str] = peer.get("ipBlock", {}).get("except", [])
    return found
