"""Tables of results, as text, as Markdown, and in a document between markers. This needs no other package."""

import re
from typing import Any, Final

from benchmarks import capacity
from benchmarks.suite import Row

Results = dict[str, Any]
"""What `python -m benchmarks` writes: for each part its tables, its charts, and how it was run."""

_MARKED: Final = re.compile(r"(<!-- (run|table|chart) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MISSING: Final = "Not measured yet."


def as_text(rows: list[Row]) -> str:
    """Return a table for the terminal; numbers stand at the right."""
    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in cells
    )


def as_markdown(rows: list[Row]) -> str:
    """Return a table in Markdown, whose first column holds names."""
    columns = list(rows[0])
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)]]
    lines += [[shown(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: str | float) -> str:
    """Return a number with about three digits that count, and a text as it is."""
    if isinstance(value, str):
        return value
    if abs(value) >= 100 or isinstance(value, int):  # noqa: PLR2004 - from here on, three digits need no fraction.
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - the same.


def filled(document: str, results: Results) -> str:
    """Return a document with the results between its markers.

    `<!-- table compare.rates -->` begins the place of the table `rates` of the part `compare`, `<!-- chart
    compare.rates -->` that of the chart of this name, `<!-- table capacity -->` that of the arithmetic, and `<!-- run
    compare -->` that of a sentence on how the part was run; each place ends with `<!-- end -->`. A part without results
    leaves a sentence that says so.

    Raises:
        KeyError: if a part with results has no such table or chart.
    """

    contents = {"run": _about_run, "table": _table, "chart": _chart}

    def fill(marked: re.Match[str]) -> str:
        begin, kind, name, end = marked.groups()
        return f"{begin}\n{contents[kind](name, results)}\n\n{end}"

    return _MARKED.sub(fill, document)


def _table(name: str, results: Results) -> str:
    part, _, table = ("compare", "", "costs") if name == "capacity" else name.partition(".")
    if part not in results:
        return _MISSING
    rows = results[part]["tables"][table]
    return as_markdown(capacity.rows(rows) if name == "capacity" else rows)


def _chart(name: str, results: Results) -> str:
    """Return the image that `benchmarks.report` draws of a chart."""
    part, _, chart = name.partition(".")
    if part not in results:
        return _MISSING
    return f"![{results[part]['charts'][chart]['title']}](performance/{part}-{chart}.svg)"


def _about_run(part: str, results: Results) -> str:
    if part not in results:
        return _MISSING
    run = results[part]["run"]
    return (
        f"Measured on {run['at']} in {run['seconds']:,} seconds: {run['system']}, {run['cores']} cores, "
        f"{run['memory_gib']} GiB of memory, Python {run['python']}. Rounds: {run['rounds']}, each measurement of "
        f"{run['seconds_each']:g} s. Load from {run['generator']}. Load average before the run: "
        f"{run['load_before']}; above about 0.5, other programs used the cores too."
    )
