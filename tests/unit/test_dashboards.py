"""The dashboard and the alerts in deploy/: their metrics exist, and the runbook has their sections."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.backlog import BACKLOG_METRICS
from core.metrics import DECLARED, Counter, Gauge, Histogram
from core.metrics.export import OFFSETS, Build

PROJECT = Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if "alert" in rule
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "allweather.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{alert["alert"]: [alert["expr"]] for alert in ALERTS},
    **{panel["title"]: [target["expr"] for target in panel["targets"]] for panel in PANELS},
}
ENDINGS = {Counter: ("",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}

# The labels of each name that is exported.
EXPORTED = {
    name + ending: {*declared.labels, "le"} if ending == "_bucket" else set(declared.labels)
    for name, declared in DECLARED.items()
    for ending in ENDINGS[type(declared)]
} | {name: set(labels) for name, labels in BACKLOG_METRICS.items()}
EXPORTED |= {"allweather_build_info": {"version", "python"}}
# Prometheus adds these to everything that it scrapes.
OF_PROMETHEUS = {"job", "instance"}


def metrics_in(expression: str) -> dict[str, set[str]]:
    """Return the metrics of an expression with the labels that select their samples."""
    found = re.findall(r"\b(allweather_\w+)(?:\{(.*?)\})?", expression)
    return {name: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)) for name, selected in found}


def grouped_by(expression: str) -> set[str]:
    """Return the labels by which an expression groups."""
    return {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in labels.split(",")}


@pytest.mark.parametrize("place", EXPRESSIONS)
def test_the_metrics_and_labels_exist(place: str) -> None:
    for expression in EXPRESSIONS[place]:
        named = metrics_in(expression)
        assert named or "up{" in expression
        for name, labels in named.items():
            assert name in EXPORTED, expression
            assert labels <= EXPORTED[name], expression
        possible = set().union(*(EXPORTED[name] for name in named)) | OF_PROMETHEUS
        assert grouped_by(expression) <= possible, expression


def test_what_the_text_of_an_alert_names_is_left_by_its_expression() -> None:
    for alert in ALERTS:
        named = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        assert named <= grouped_by(alert["expr"]) | (OF_PROMETHEUS if "up{" in alert["expr"] else set()), alert


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in metrics_in(target["expr"])}

    missing = {name for name in [*DECLARED, *BACKLOG_METRICS] if not any(each.startswith(name) for each in shown)}

    assert missing == set()


def test_every_alert_names_a_section_of_the_runbook() -> None:
    for alert in ALERTS:
        path, _, anchor = alert["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (PROJECT / path).read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert anchor in anchors, alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_metric_is_documented_and_nothing_else() -> None:
    text = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    (build,) = Build().collect()

    documented = set(re.findall(r"`(allweather_\w+)`", text))

    assert documented == {*DECLARED, *BACKLOG_METRICS, build.name}


def test_prometheus_scrapes_each_kind_of_process_at_its_port() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]

    ports = {each["job_name"]: int(each["static_configs"][0]["targets"][0].rpartition(":")[2]) for each in scraped}

    first = ports["allweather-web"]
    assert ports == {f"allweather-{kind}": first + offset for kind, offset in OFFSETS.items()}


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.skipif(shutil.which("promtool") is None, reason="PROMTOOL IS MISSING: IT DOES NOT CHECK THE RULES")
@pytest.mark.parametrize("arguments", [("rules", "alerts.yml"), ("config", "prometheus.yml")])
def test_promtool_accepts_the_rules(arguments: tuple[str, str]) -> None:
    kind, file = arguments

    checked = subprocess.run(  # noqa: S603 - the command is our own.
        [shutil.which("promtool") or "", "check", kind, file],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
