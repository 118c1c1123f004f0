"""The figures in docs/performance.md are those of the results beside it, and the tables are shown as they should be."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import as_markdown, as_text, filled, shown

DOCS = Path(__file__).resolve().parents[2] / "docs"
RUN = {
    "at": "2030-05-01", "seconds": 200, "rounds": 5, "seconds_each": 2.0, "generator": "wrk", "cores": 2,
    "load_before": 0.1, "memory_gib": 8.0, "python": "3.11.7", "system": "Linux x86_64",
}  # fmt: skip
MARKERS = (
    "Before.\n<!-- table walk.steps -->\nold\n<!-- end -->\n<!-- chart walk.steps -->\n<!-- end -->\n"
    "<!-- run walk -->\n<!-- end -->\nAfter.\n"
)


@pytest.fixture
def results() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DOCS / "performance" / "results.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture
def document() -> str:
    return (DOCS / "performance.md").read_text(encoding="utf-8")


def test_the_document_has_the_figures_of_the_results(document: str, results: dict[str, Any]) -> None:
    assert document == filled(document, results), "`make report` writes them."


def test_the_document_shows_every_table_and_chart_of_the_results(document: str, results: dict[str, Any]) -> None:
    tables = [f"<!-- table {part}.{name} -->" for part, result in results.items() for name in result["tables"]]
    charts = [f"(performance/{part}-{name}.svg)" for part, result in results.items() for name in result["charts"]]

    assert [expected for expected in tables + charts if expected not in document] == []


def test_a_place_is_filled_again_and_the_rest_stays() -> None:
    steps = [{"step": "left", "metres": 0.5}]
    part = {"tables": {"steps": steps}, "charts": {"steps": {"title": "The steps"}}, "run": RUN}

    once = filled(MARKERS, {"walk": part})

    assert "old" not in once
    assert "| left | 0.50 |" in once
    assert "![The steps](performance/walk-steps.svg)" in once
    assert "2030-05-01" in once
    assert once.startswith("Before.\n")
    assert once.endswith("After.\n")
    assert filled(once, {"walk": part}) == once


def test_a_part_without_results_says_so() -> None:
    assert filled(MARKERS, {}).count("Not measured yet.") == 3


@pytest.mark.parametrize("kind", ["table", "chart"])
def test_a_name_that_the_results_do_not_have_is_an_error(kind: str) -> None:
    with pytest.raises(KeyError, match="steps"):
        filled(f"<!-- {kind} walk.steps -->\n<!-- end -->", {"walk": {"tables": {}, "charts": {}, "run": RUN}})


@pytest.mark.parametrize(
    ("value", "text"),
    [(4711.6, "4,712"), (56.78, "56.8"), (5.678, "5.68"), (0.25, "0.25"), (20, "20"), ("≥ 5", "≥ 5"), ("", "")],
)
def test_numbers_have_about_three_digits(value: str | float, text: str) -> None:
    assert shown(value) == text


def test_a_table_has_a_line_for_its_columns_and_one_for_each_row() -> None:
    rows: list[dict[str, str | float]] = [{"step": "left", "metres": 1000.0}, {"step": "to the right", "metres": 1.0}]

    assert as_text(rows).splitlines() == ["step          metres", "left           1,000", "to the right    1.00"]
    assert as_markdown(rows).splitlines() == [
        "| step | metres |", "| --- | ---: |", "| left | 1,000 |", "| to the right | 1.00 |",
    ]  # fmt: skip
