"""Time imports, data checks, the join of articles to bars and the store against peers.

Run by ``python -m embargo.research.benchmarks.data``. Every row of the table runs in a process of its own, so that its
peak memory is its own, inputs included. Absolute figures depend on the machine; the ratios to a peer in the same run
are what to watch.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from embargo.data_loaders.checks import check_news, check_prices
from embargo.data_loaders.schemas import Prices, validate_prices
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.data_loaders.store import Store
from embargo.data_loaders.store.importing import import_news
from embargo.signals.alignment import align

BARS, SYMBOLS = 2520, 500
CHUNK = 500_000
REVISED_EVERY = 20
FIRST = pd.Timestamp("2012-01-02 14:25", tz="UTC").as_unit("us")
COMMITTED = pd.Timestamp("2030-01-01", tz="UTC")
REVISED = pd.Timestamp("2031-01-01", tz="UTC")
STATED = "article_id, published_at, symbol, text, source"
TOLD = ("opens a plant", "names a new chair", "misses the estimate", "raises its outlook", "recalls a product")


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and the peak memory of the whole process in MB."""

    seconds: float
    peak: float


def cost(work: Callable[..., float], *arguments: object) -> Cost:
    """Run a measurement in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measured, work, arguments).result()


def _measured(work: Callable[..., float], arguments: tuple[object, ...]) -> Cost:
    seconds = work(*arguments)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return Cost(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def fastest(work: Callable[[], object]) -> float:
    """Shortest wall time of five calls."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def names() -> list[str]:
    return [f"S{number:03d}" for number in range(SYMBOLS)]


def join(method: str, rows: int) -> float:
    """Place sorted articles on daily bars."""
    rng = np.random.default_rng(0)
    decided_at = pd.date_range(FIRST, periods=BARS, freq="D", unit="us")
    stamps = np.sort(rng.integers(decided_at.asi8[0], decided_at.asi8[-1], rows))
    known_at = pd.Series(pd.DatetimeIndex(stamps.view("M8[us]"), tz="UTC"))
    codes = rng.integers(0, SYMBOLS, rows).astype(np.int16)
    symbol = pd.Series(pd.Categorical.from_codes(codes, pd.Index(names())))
    if method == "searchsorted":
        bars = decided_at.asi8
        return fastest(lambda: np.searchsorted(bars, stamps))
    if method == "categorical":
        return fastest(lambda: align(known_at, symbol, decided_at, names()))
    if method == "strings":
        text = symbol.astype("str")
        return fastest(lambda: align(known_at, text, decided_at, names()))
    grid = pd.MultiIndex.from_product([decided_at, names()], names=["decided_at", "symbol"]).to_frame(index=False)
    grid["row"] = np.repeat(np.arange(BARS), SYMBOLS)
    news = pd.DataFrame({"known_at": known_at, "symbol": symbol.astype("str")})

    def peer() -> object:
        return pd.merge_asof(news, grid, left_on="known_at", right_on="decided_at", by="symbol", direction="forward")

    return fastest(peer)


def articles(rows: int, *, revised: bool = False) -> Iterator[pd.DataFrame]:
    """Yield generated news in pieces; ``revised`` tells every twentieth article differently."""
    rng = np.random.default_rng(0)
    spacing = BARS * 86_400_000_000 // rows
    step = REVISED_EVERY if revised else 1
    for first in range(0, rows, CHUNK * step):
        number = np.arange(first, min(first + CHUNK * step, rows), step)
        symbol = pd.Series(np.asarray(names(), dtype=object)[number % SYMBOLS], dtype="str")
        told = pd.Series(np.asarray(TOLD, dtype=object)[rng.integers(0, len(TOLD), len(number))], dtype="str")
        serial = pd.Series(number).astype("str")
        yield pd.DataFrame(
            {
                "article_id": "a" + serial,
                "published_at": FIRST + pd.to_timedelta(number * spacing, unit="us"),
                "symbol": symbol,
                "text": symbol + " " + told + ", says report " + serial + (" (corrected)" if revised else ""),
                "source": "generated",
            }
        )


def write_archives(folder: Path, rows: int) -> float:
    start = time.perf_counter()
    writer = None
    for number, frame in enumerate(articles(rows)):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        writer = writer or pa.parquet.ParquetWriter(folder / "news.parquet", table.schema)
        writer.write_table(table)
        frame.to_csv(folder / "news.csv", mode="a", header=number == 0, index=False)
    if writer is not None:
        writer.close()
    return time.perf_counter() - start


def import_archive(folder: Path, name: str) -> float:
    store = Store.create(folder / f"store of {name}")
    start = time.perf_counter()
    import_news(folder / name, store, source_name="benchmark", clock=lambda: COMMITTED)
    return time.perf_counter() - start


def copy_archive(folder: Path, name: str) -> float:
    """Read with pyarrow and write parquet: the least an import can do."""
    start = time.perf_counter()
    read = pa.csv.read_csv if name.endswith(".csv") else pa.parquet.read_table
    pa.parquet.write_table(read(folder / name), folder / f"copy of {name}.parquet")
    return time.perf_counter() - start


def check_archive(folder: Path) -> float:
    """Ask every check of the imported articles, one in twelve told again a day later."""
    news = pd.read_parquet(folder / "news.parquet")
    told = news.iloc[::12]
    again = told.assign(
        article_id="again " + told["article_id"], published_at=told["published_at"] + pd.Timedelta("1D")
    )
    news = pd.concat([news, again], ignore_index=True)
    check_news(news.head(1_000), calendar="XNYS")
    start = time.perf_counter()
    check_news(news, calendar="XNYS")
    return time.perf_counter() - start


def bars() -> Prices:
    drawn = SimulatedMarket(
        n_symbols=480, start="2008-01-01", end="2018-01-05", articles_per_symbol_day=0.001, duplicate_share=0.0
    )
    return simulate_market(drawn).prices


def check_bars() -> float:
    prices = bars()
    check_prices(prices.select(bars=slice(0, 100)))
    return fastest(lambda: check_prices(prices))


def validate_bars() -> float:
    prices = bars()
    return fastest(lambda: validate_prices(prices))


def fill_store(folder: Path, rows: int) -> float:
    """Append articles in batches, then a corrected version of every twentieth."""
    store = Store.create(folder / "store")
    start = time.perf_counter()
    for revised, instant in ((False, COMMITTED), (True, REVISED)):
        for number, frame in enumerate(articles(rows, revised=revised)):
            store.append("news", frame, source=f"generated:{revised}:{number}", committed_at=instant)
    return time.perf_counter() - start


def as_of_all(folder: Path, rows: int) -> float:
    """Stream the whole world as known after the corrections."""
    start = time.perf_counter()
    snapshot = Store.open(folder / "store").as_of(REVISED)
    found = corrected = 0
    for batch in snapshot.record_batches("news"):
        found += batch.num_rows
        corrected += int(np.count_nonzero(batch.column("revision").to_numpy(zero_copy_only=False)))
    if (found, corrected) != (rows, -(-rows // REVISED_EVERY)):
        raise SystemExit(f"as_of gave {found:,} articles, {corrected:,} of them corrected, of {rows:,} appended")
    return time.perf_counter() - start


def scan_all(folder: Path, rows: int) -> float:
    """Stream the same files through DuckDB without asking what was known when."""
    start = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        stated = connection.read_parquet(f"{folder}/store/**/*.parquet").project(STATED)
        found = sum(batch.num_rows for batch in stated.to_arrow_reader(65_536))
    if found < rows:
        raise SystemExit(f"the scan gave {found:,} rows of {rows:,}")
    return time.perf_counter() - start


def as_of_month(folder: Path) -> float:
    start = time.perf_counter()
    month = Store.open(folder / "store").as_of(REVISED).news(start=FIRST, end=FIRST + pd.Timedelta(days=30))
    if month.empty:
        raise SystemExit("as_of gave no article of the first month")
    return time.perf_counter() - start


def scan_month(folder: Path) -> float:
    start = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        stated = connection.read_parquet(f"{folder}/store/**/*.parquet").project(STATED)
        stated.filter(f"published_at < TIMESTAMPTZ '{FIRST + pd.Timedelta(days=30)}'").df()
    return time.perf_counter() - start


def measurements(folder: Path, rows: int) -> Iterator[tuple[str, int, Cost, str, Cost | None]]:
    """Yield what was measured, its rows and cost, and its peer."""
    for count in (rows // 10, rows):
        floor, peer = cost(join, "searchsorted", count), cost(join, "merge_asof", count)
        categorical, strings = cost(join, "categorical", count), cost(join, "strings", count)
        yield "align, categorical symbols", count, categorical, "numpy searchsorted, no symbols", floor
        yield "align, categorical symbols", count, categorical, "pandas merge_asof, str", peer
        yield "align, str symbols", count, strings, "numpy searchsorted, no symbols", floor
        yield "align, str symbols", count, strings, "pandas merge_asof, str", peer
    imported = rows // 10
    cost(write_archives, folder, imported)
    imports: dict[str, Cost] = {}
    for name in ("news.parquet", "news.csv"):
        ours, peer = cost(import_archive, folder, name), cost(copy_archive, folder, name)
        yield f"import {name}", imported, ours, "pyarrow read, write parquet", peer
        imports[name] = ours
    yield "every check of news", imported, cost(check_archive, folder), "import news.parquet", imports["news.parquet"]
    yield "every check of prices", 480 * 2_522, cost(check_bars), "validate_prices", cost(validate_bars)
    corrected = -(-rows // REVISED_EVERY)
    yield "append, 5 % corrected later", rows + corrected, cost(fill_store, folder, rows), "", None
    ours, peer = cost(as_of_all, folder, rows), cost(scan_all, folder, rows)
    yield "as_of, every article streamed", rows + corrected, ours, "DuckDB, plain scan", peer
    ours, peer = cost(as_of_month, folder), cost(scan_month, folder)
    yield "as_of, thirty days as a frame", rows + corrected, ours, "DuckDB, plain scan to pandas", peer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="articles to join and to store; imports a tenth")
    rows = parser.parse_args().rows
    table = Table("what", "rows", "seconds", "rows/s", "peak MB", "peer", "seconds ", "peak MB ", "ours / peer")
    with tempfile.TemporaryDirectory(prefix="embargo-benchmark-") as folder, Progress(transient=True) as progress:
        task = progress.add_task("Measuring", total=15)
        for what, count, ours, name, peer in measurements(Path(folder), rows):
            figures = ("", "", "")
            if peer is not None:
                figures = (f"{peer.seconds:.3f}", f"{peer.peak:,.0f}", f"{ours.seconds / peer.seconds:.2f}")
            rate = f"{count / ours.seconds:,.0f}"
            table.add_row(what, f"{count:,}", f"{ours.seconds:.3f}", rate, f"{ours.peak:,.0f}", name, *figures)
            progress.advance(task)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
