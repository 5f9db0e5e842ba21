"""All workloads, one after the other: one table in Markdown and JSON, and one plot.

python -m benchmarks.run --into results      about a quarter of an hour
python -m benchmarks.run --quick             under three minutes: does it work?
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from benchmarks import (
    answer,
    bulk,
    bursts,
    connect,
    datagrams,
    endpoints,
    guard,
    imports,
    memory,
    negotiations,
    parse,
    pingpong,
    resume,
    serve,
    upgrade,
)
from benchmarks.lab import report
from benchmarks.lab.workload import run

WORKLOADS: Final = tuple(
    module.WORKLOAD
    for module in (
        connect,
        resume,
        serve,
        upgrade,
        bulk,
        pingpong,
        bursts,
        answer,
        memory,
        datagrams,
        endpoints,
        parse,
        negotiations,
        guard,
        imports,
    )
)
"""In the order of the tables."""


def write(folder: Path, tables: list[report.Table], notes: list[str]) -> None:
    """Write ``performance.md``, ``performance.json`` and ``performance.svg`` into a folder.

    Args:
        folder: Is made if it is not there. What a page that is there has above
            its mark is kept.
        tables: Of all workloads.
        notes: What a reader has to know.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, data, image = (folder / f"performance.{kind}" for kind in ("md", "json", "svg"))
    before = text.read_text(encoding="utf-8") if text.exists() else ""
    text.write_text(report.page(before, tables, notes, image.name), encoding="utf-8")
    document = report.document(tables, notes)
    data.write_text(f"{json.dumps(document, indent=1)}\n", encoding="utf-8")
    image.write_text(report.plot(tables), encoding="utf-8")


if __name__ == "__main__":
    run(WORKLOADS, __doc__, sys.argv[1:], write)
