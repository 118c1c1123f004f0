"""Draw the charts of results as SVG. They have a transparent background, and colours for a light and a dark page."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

_STYLE: Final = "<style>svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
# matplotlib cannot write `currentColor`, so its texts and lines get a colour that nothing else has.
_PLACEHOLDER: Final = "#010203"
# These have enough contrast on white and on black, and differ for people who do not see red and green.
_COLOURS: Final = ("#2f81f7", "#d18616", "#8b949e", "#bf4b8a")
_INCHES: Final = (8.0, 3.6)

mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "allweather", "font.family": "sans-serif"})
for _name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
    mpl.rcParams[_name] = _PLACEHOLDER


def draw(chart: dict[str, Any], path: Path) -> None:
    """Write a chart of the results (the fields of `benchmarks.suite.Chart`) to a file."""
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.add_subplot()
    places = range(len(chart["labels"]))
    width = 0.8 / len(chart["series"])
    for number, (name, values) in enumerate(chart["series"].items()):
        colour = _COLOURS[number % len(_COLOURS)]
        if chart["kind"] == "lines":
            axes.plot(places, values, label=name, color=colour, marker="o")
        else:
            bars = axes.bar([place + (number + 0.5) * width - 0.4 for place in places], values, width, color=colour)
            bars.set_label(name)
            axes.bar_label(bars, fmt="{:,.4g}", fontsize=8)
    axes.set_xticks(list(places), chart["labels"])
    axes.set_title(chart["title"])
    axes.set_ylabel(chart["unit"])
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    # Without a date, the same results make the same file.
    figure.savefig(path, transparent=True, metadata={"Date": None})
    drawn = path.read_text(encoding="utf-8").replace(_PLACEHOLDER, "currentColor")
    head, tag, rest = drawn.partition("<defs>")
    path.write_text(f"{head}{_STYLE}{tag}{rest}", encoding="utf-8")
