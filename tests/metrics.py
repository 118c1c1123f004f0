"""Reads metrics as Prometheus does."""

from collections.abc import Mapping

import requests
from prometheus_client.parser import text_string_to_metric_families


def samples(port: int) -> list[tuple[str, dict[str, str], float]]:
    """Return the name, the labels and the value of all samples that a process exports."""
    response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20)
    response.raise_for_status()
    families = text_string_to_metric_families(response.text)
    return [(each.name, dict(each.labels), each.value) for family in families for each in family.samples]


def sample(port: int, name: str, labels: Mapping[str, str]) -> float:
    """Return the value of one sample."""
    (value,) = [value for found, its, value in samples(port) if found == name and its == labels]
    return value
