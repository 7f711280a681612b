"""The two pages of a tear sheet: what came out of a run on the first, why to believe it or not on the second."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from embargo.data_loaders.errors import ConfigError
from embargo.models.content import refuse_taken
from embargo.models.drafts import draft_for
from embargo.research.pages import formats
from embargo.research.records.run import Run
from embargo.research.run.look_back import rolling_rows
from embargo.research.studies.sheet import blocks, charts
from embargo.research.studies.sheet.contents import SheetContents, contents_of, origin_of, reader_of, span_of
from embargo.research.studies.sheet.paper import (
    HIGH,
    INNER,
    MARGIN,
    Paper,
    as_pdf,
    printable,
    shortened,
    wrapped,
)

_FOOT = (
    "Made from the files of the run alone; every figure stands in its metrics.json, every check in its report.html. "
    "A return is earned from the open of its bar to the next open; instants are UTC. An empty audit is no proof."
)
_BOTTOM = HIGH - 36.0
_GAP = 16.0
_HALF = (INNER - _GAP) / 2.0
_HEAD = 78.0
_MOST_YEARS = 12
# What the months take beside their rows, and the benchmarks with all of theirs.
_MONTHS_HIGH, _FIGURES_HIGH = 29.0, 144.0


def render_sheet(run: Run) -> bytes:
    """Draw the tear sheet of a finished run.

    Parameters
    ----------
    run : Run
        From `Run.load`.

    Returns
    -------
    bytes
        A PDF of two pages of A4, fonts embedded, text that can be selected; the same run gives the same bytes.

    Raises
    ------
    MissingPartError
        If an older version made the run, which did not keep what a sheet shows.
    DataError
        If a file of the run cannot be read, was changed, or holds figures of another version.

    Examples
    --------
    >>> import tempfile
    >>> from embargo import demo
    >>> from embargo.research.studies.sheet import render_sheet
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pdf = render_sheet(demo(out=folder, cache=folder, overrides=small, progress=False))
    >>> pdf[:5], pdf.count(b"/Type /Page ")
    (b'%PDF-', 2)
    """
    contents = contents_of(run)
    return as_pdf(
        lambda: [_first(contents), _second(contents)],
        title=printable(f"{contents.title} – Embargo tear sheet"),
        made=contents.made,
    )


def write_sheet(run: Run, path: Path) -> Path:
    """Draw the tear sheet of a finished run into a file, whole or not at all.

    Parameters
    ----------
    run : Run
    path : Path
        Must not be there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the name does not end in ``.pdf``.
    TakenError
        If the file is there.
    MissingPartError, DataError
        As of `render_sheet`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo import demo
    >>> from embargo.research.studies.sheet import write_sheet
    >>> small = ["model.kind=lexicon", "news.simulated.symbols=4", "split.end=2018-07-01", "split.test_span=6MS"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = demo(out=folder, cache=folder, overrides=small, progress=False)
    ...     write_sheet(made, Path(folder) / "sheet.pdf").name
    'sheet.pdf'
    """
    if path.suffix.lower() != ".pdf":
        raise ConfigError(f"--pdf {path}: a tear sheet is one file. Name one that ends in .pdf, such as {path}.pdf.")
    refuse_taken(path)
    content = render_sheet(run)
    with draft_for(path) as draft:
        whole = draft / path.name
        whole.write_bytes(content)
        refuse_taken(path)
        whole.replace(path)
    return path


def _top(contents: SheetContents, number: int) -> tuple[Paper, float]:
    """Begin a page with what every page carries; return it with the y below."""
    paper = Paper()
    paper.text(MARGIN, 28.0, "EMBARGO TEAR SHEET", size=6.2, bold=True, colour="muted")
    made = contents.made
    told = f"page {number} of 2" + ("" if made is None else f"  ·  run of {formats.instant(made)}")
    paper.text(MARGIN + INNER, 28.0, told, size=6.2, colour="muted", side="right")
    left = blocks.badges(paper, contents, MARGIN + INNER, 48.0)
    title = printable(contents.title)
    size = next((size for size in (16.0, 14.0, 12.0, 10.0) if _fits(title, size, left - MARGIN - 10.0)), 10.0)
    paper.text(MARGIN, 48.0, shortened(title, size, left - MARGIN - 10.0, bold=True), size=size, bold=True)
    paper.text(MARGIN, 59.5, shortened(printable(span_of(contents)), 6.8, INNER), size=6.8, colour="muted")
    return paper, blocks.stamp_bars(paper, contents, 67.0)


def _finished(paper: Paper) -> Paper:
    """Set the foot of a page last, as it is read."""
    paper.lines(MARGIN, _BOTTOM + 9.0, wrapped(_FOOT, 5.6, INNER), size=5.6, colour="muted")
    return paper


def _fits(title: str, size: float, room: float) -> bool:
    return shortened(title, size, room, bold=True) == title


def _first(contents: SheetContents) -> Paper:
    """Draw what came out: verdict, growth, rolling Sharpe ratio, months, benchmarks, drawdowns."""
    paper, y = _top(contents, 1)
    metrics, growth = contents.metrics, contents.run.growth
    y = blocks.verdict_block(paper, contents, y + 2.0)
    years = min(_MOST_YEARS, growth.index[-1].year - growth.index[0].year + 1)
    free = _BOTTOM - y - _MONTHS_HIGH - blocks.PITCH * years - _FIGURES_HIGH
    rolling = min(120.0, 0.28 * free)
    y = charts.growth_chart(paper, MARGIN, y, INNER, free - rolling, growth)
    window = rolling_rows(len(contents.over_time), metrics.bars_per_year)
    y = charts.rolling_chart(paper, MARGIN, y, INNER, rolling, contents.over_time, (window, metrics.level))
    y = blocks.monthly_table(paper, growth["strategy"], y, _MOST_YEARS)
    blocks.figures_table(paper, contents, MARGIN, y, _HALF + 20.0)
    blocks.falls_table(paper, contents, MARGIN + _HALF + _GAP + 20.0, y, _HALF - 20.0)
    return _finished(paper)


class _Room(NamedTuple):
    """How much of what may be long is shown: rows, lines, or points."""

    regimes: int
    symbols: int
    exposure: float
    costs: int
    untested: int
    told: int
    hashes: bool


# From all there is to what always fits.
_ROOMS = (
    _Room(regimes=16, symbols=7, exposure=100.0, costs=9, untested=9, told=3, hashes=True),
    _Room(regimes=14, symbols=6, exposure=90.0, costs=8, untested=9, told=2, hashes=True),
    _Room(regimes=12, symbols=5, exposure=80.0, costs=7, untested=9, told=2, hashes=True),
    _Room(regimes=10, symbols=4, exposure=74.0, costs=7, untested=8, told=2, hashes=True),
    _Room(regimes=8, symbols=4, exposure=70.0, costs=5, untested=6, told=1, hashes=True),
    _Room(regimes=6, symbols=3, exposure=60.0, costs=3, untested=4, told=1, hashes=False),
)


def _second(contents: SheetContents) -> Paper:
    """Draw the second page with as much as it holds."""
    for room in _ROOMS:
        paper, y = _top(contents, 2)
        if _reasons(paper, contents, y + 12.0, room) <= _BOTTOM:
            break
    return _finished(paper)


def _reasons(paper: Paper, contents: SheetContents, y: float, room: _Room) -> float:
    """Draw why to believe it or not: regimes, contributions, costs, exposure, audit, data, model, provenance."""
    right = MARGIN + _HALF + _GAP
    over_time = contents.over_time
    y = blocks.regimes_table(paper, contents, y, room.regimes)
    left_end = charts.contributions_chart(paper, MARGIN, y, _HALF, room.symbols, contents.contributions, over_time)
    right_end = blocks.costs_block(paper, contents, right, y, _HALF, room.costs)
    left_end = charts.exposure_chart(paper, MARGIN, left_end, _HALF, room.exposure, over_time)
    right_end = paper.heading(right, right_end, _HALF, "Exposure and trades")
    right_end = blocks.facts(paper, right, right_end, _HALF, blocks.holding_facts(contents), head=92.0, most=1)
    y = blocks.audit_block(paper, contents, max(left_end, right_end), room.untested)
    left_end = paper.heading(MARGIN, y, _HALF, "Data and attempts")
    rows = [*blocks.data_facts(contents), *blocks.attempts_facts(contents)]
    left_end = blocks.facts(paper, MARGIN, left_end, _HALF, rows, head=_HEAD, most=room.told)
    right_end = paper.heading(right, y, _HALF, "Model and what it could know")
    right_end = blocks.facts(paper, right, right_end, _HALF, reader_of(contents), head=_HEAD, most=room.told)
    y = paper.heading(MARGIN, max(left_end, right_end), INNER, "Provenance")
    return blocks.facts(paper, MARGIN, y, INNER, origin_of(contents, whole=room.hashes), head=_HEAD, most=1) - 8.0
