"""Measure how the cost of a store grows with its archive: appending, and reading one month of it.

Run by ``python -m embargo.research.benchmarks.store_growth --rows 1000000 5000000 --against PATH``, where PATH is a
folder from which the earlier build is imported as ``embargo``. Archives are made and appended in pieces, two thousand
articles a day, so that a month holds as many in a long archive as in a short one; every twentieth article is corrected
later. Each figure is of a process of its own: CPU seconds of the calls alone, all threads together, and the peak memory
of the process, one piece of the archive included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PER_DAY = 2_000
PIECE = 500_000
REVISED_EVERY = 20
SYMBOLS = 500
FIRST = pd.Timestamp("1990-01-01 14:25", tz="UTC").as_unit("us")
COMMITTED = pd.Timestamp("2040-01-01", tz="UTC")
REVISED = pd.Timestamp("2041-01-01", tz="UTC")
TOLD = ("opens a plant", "names a new chair", "misses the estimate", "raises its outlook", "recalls a product")
READS = 3


def pieces(rows: int, *, revised: bool) -> Iterator[pd.DataFrame]:
    """Yield generated news, or every twentieth of them told differently, in pieces of bounded size."""
    rng = np.random.default_rng(7_300_000)
    names = np.asarray([f"S{number:03d}" for number in range(SYMBOLS)], dtype=object)
    step = REVISED_EVERY if revised else 1
    for first in range(0, rows, PIECE * step):
        number = np.arange(first, min(first + PIECE * step, rows), step)
        symbol = pd.Series(names[number % SYMBOLS], dtype="str")
        told = pd.Series(np.asarray(TOLD, dtype=object)[rng.integers(0, len(TOLD), len(number))], dtype="str")
        serial = pd.Series(number).astype("str")
        yield pd.DataFrame(
            {
                "article_id": "a" + serial,
                "published_at": FIRST + pd.to_timedelta(number * (86_400_000_000 // PER_DAY), unit="us"),
                "symbol": symbol,
                "text": symbol + " " + told + ", says report " + serial + (" (corrected)" if revised else ""),
                "source": "generated",
            }
        )


def append(folder: str, rows: int) -> float:
    from embargo.data_loaders.store import Store

    store, spent = Store.create(folder), 0.0
    for revised, instant in ((False, COMMITTED), (True, REVISED)):
        for number, frame in enumerate(pieces(rows, revised=revised)):
            before = time.process_time()
            store.append("news", frame, source=f"generated:{revised}:{number}", committed_at=instant)
            spent += time.process_time() - before
    return spent


def read_month(folder: str, rows: int) -> float:
    from embargo.data_loaders.store import Store

    start = FIRST + pd.Timedelta(rows // PER_DAY // 2, "D")
    before = time.process_time()
    month = Store.open(folder).as_of(REVISED).news(start=start, end=start + pd.Timedelta("30D"))
    spent = time.process_time() - before
    corrected = int((month["revision"] > 0).sum())
    if (len(month), corrected) != (30 * PER_DAY, 30 * PER_DAY // REVISED_EVERY):
        raise SystemExit(f"the month has {len(month):,} articles, {corrected:,} of them corrected")
    return spent


WORK = {"append": append, "read": read_month}


def measured(what: str, build: str | None, folder: Path, rows: int) -> tuple[float, float]:
    """Do one piece of work in a process that imports one build: CPU seconds, and peak memory in MB."""
    environment = os.environ if build is None else os.environ | {"PYTHONPATH": build}
    command = [sys.executable, __file__, "--work", what, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["seconds"]), float(found["peak"])


def read(build: str | None, folder: Path, rows: int) -> tuple[float, float]:
    """Read the month in several processes: the median of each figure."""
    found = [measured("read", build, folder, rows) for _ in range(READS)]
    return statistics.median(cpu for cpu, _ in found), statistics.median(peak for _, peak in found)


def told(what: str, rows: int, figures: tuple[float, float], before: tuple[float, float] | None) -> None:
    ratio = "" if before is None else f"  {before[0]:8.2f} s {before[1]:8,.0f} MB  {figures[0] / before[0]:6.3f} x"
    print(f"{what:34s} {rows:12,} {figures[0]:8.2f} s {figures[1]:8,.0f} MB{ratio}", flush=True)


def compare(rows: int, against: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="embargo-benchmark-") as place:
        ours, theirs = Path(place) / "now", Path(place) / "before"
        appended = measured("append", None, ours, rows)
        earlier = None if against is None else measured("append", against, theirs, rows)
        told("append, 5 % corrected later", rows, appended, earlier)
        month = read(None, ours, rows)
        told("as_of, a month", rows, month, None if against is None else read(against, theirs, rows))
        if against is not None:
            told("as_of, a month of a store of before", rows, read(None, theirs, rows), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="articles of each archive")
    parser.add_argument("--against", help="folder from which the earlier build is imported as embargo")
    parser.add_argument("--work", choices=sorted(WORK), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        seconds = WORK[asked.work](asked.folder, asked.rows[0])
        unit = 1e6 if sys.platform == "darwin" else 1e3
        found: dict[str, Any] = {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
        print(json.dumps(found))
        return
    print(f"{'':34s} {'articles':>12s} {'now':>10s} {'peak':>11s}  {'before':>10s} {'peak':>11s}  {'now / before':>8s}")
    for rows in asked.rows:
        compare(rows, asked.against)


if __name__ == "__main__":
    main()
