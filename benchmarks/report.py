"""Write results into docs/performance.md and draw their charts: `python -m benchmarks.report RESULTS`."""

import argparse
import json
from pathlib import Path
from typing import Final

from benchmarks.charts import draw
from benchmarks.tables import filled

_DOCUMENT: Final = Path("docs/performance.md")
_CHARTS: Final = Path("docs/performance")


def main() -> None:
    """Fill the tables between the markers of the document, and draw all charts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path)
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    _DOCUMENT.write_text(filled(_DOCUMENT.read_text(encoding="utf-8"), results), encoding="utf-8")
    for part, result in results.items():
        for name, chart in result["charts"].items():
            draw(chart, _CHARTS / f"{part}-{name}.svg")
            print(_CHARTS / f"{part}-{name}.svg")


if __name__ == "__main__":
    main()
