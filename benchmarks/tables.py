"""Tables of results as text and as Markdown. This needs no other package, so a test can use it."""

from benchmarks.suite import Row


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
    if abs(value) >= 100:  # noqa: PLR2004 - from here on, three digits need no fraction.
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - the same.
