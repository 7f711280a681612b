"""What the data of a run are worth: every check of its news and prices, asked of what the run reads and no more.

The third verdict of a run, beside what chance explains and what leaks. A fault in what is never read condemns nothing;
one in what is read is named, with its bars, until it is mended or accepted with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.checks.check import MAX_EXAMPLES, Check, Grade, facts_of
from embargo.data_loaders.checks.clock_evidence import ClockJudgement, Complaint, judge_clock
from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.schemas import Prices, rows_where
from embargo.models.scorers.word_lists import count_all_words, signs_of
from embargo.research.config.experiment import Config
from embargo.research.run.kept import Kept
from embargo.research.run.samples import Samples
from embargo.research.run.world import World

# Volatility, volume and regimes look back at what came before the first article; none counts much beyond a year.
YEARS_BEFORE = 1.0
MOST_SYMBOLS = 5
LONGEST_REASON = 80
GRADES: tuple[Grade, ...] = ("bad", "look", "clean")


@dataclass(frozen=True, eq=False)
class DataVerdict:
    """What the data of a run are worth.

    Attributes
    ----------
    checks : tuple of Check
        The gravest first. Their ``marked`` is of the shape of all prices of the run, (bars, symbols).
    accepted : mapping of str to str
        Reasons given in the config, by code of the check.
    places : mapping of str to str
        Symbols and bars at fault, in words, by code of each check that is not clean; empty without single bars.
    period : (Timestamp, Timestamp)
        Opens of the first and the last bar that were judged, UTC.
    clock : ClockJudgement
        What is to be thought of the clock of the news.
    world : World
        Whose news and prices were judged.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> plan.data.stands, plan.data.faults
    (True, ())
    """

    checks: tuple[Check, ...]
    accepted: Mapping[str, str]
    places: Mapping[str, str]
    period: tuple[pd.Timestamp, pd.Timestamp]
    clock: ClockJudgement
    world: World

    @property
    def grade(self) -> Grade:
        """The gravest verdict of all checks, accepted ones among them."""
        return min((check.verdict for check in self.checks), key=GRADES.index, default="clean")

    @property
    def noticed(self) -> tuple[Check, ...]:
        """Checks that are not clean, the gravest first."""
        return tuple(check for check in self.checks if check.verdict != "clean")

    @property
    def faults(self) -> tuple[Check, ...]:
        """Checks that are bad, accepted or not."""
        return tuple(check for check in self.checks if check.verdict == "bad")

    @property
    def refused(self) -> tuple[str, ...]:
        """Codes of the checks that are bad and not accepted."""
        return tuple(check.code for check in self.faults if check.code not in self.accepted)

    @property
    def stands(self) -> bool:
        """Whether nothing is bad but what was accepted."""
        return not self.refused

    @property
    def summary(self) -> str:
        """One sentence: which checks gave the verdict, and what was accepted."""
        asked = f"{len(self.checks)} checks from {self.period[0]:%Y-%m-%d} to {self.period[1]:%Y-%m-%d}"
        if not self.noticed:
            return f"{asked}, all clean."
        named = ", ".join(check.code for check in self.noticed if check.verdict == self.grade)
        taken = ", ".join(check.code for check in self.faults if check.code in self.accepted)
        return f"{named}{f'; accepted: {taken}' if taken else ''} (of {asked})."

    @property
    def stamp(self) -> str | None:
        """What every page on these data carries; None where no check calls them bad."""
        if not self.faults:
            return None
        reasons = {check.code: self.accepted[check.code] for check in self.faults if check.code in self.accepted}
        taken = [f"{code} ({shorten(reason, LONGEST_REASON)})" for code, reason in reasons.items()]
        parts = [f"Data bad, so no figure here can be relied on: {', '.join(self.refused)}"] if self.refused else []
        parts += [f"Data called bad and accepted: {'; '.join(taken)}"] if taken else []
        return ". ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: the verdict, what was accepted, and every check with its examples."""
        return {
            "verdict": self.grade,
            "summary": self.summary,
            "stamp": self.stamp,
            "refused": list(self.refused),
            "accepted": dict(self.accepted),
            "checks": [
                {
                    "code": check.code,
                    "verdict": check.verdict,
                    "summary": check.summary,
                    "where": self.places.get(check.code, ""),
                    "marked": None if check.marked is None else int(check.marked.sum()),
                    "remedy": check.remedy,
                    "figures": check.figures,
                    "examples": json.loads(check.rows.to_json(orient="records", date_format="iso", date_unit="us")),
                }
                for check in self.checks
            ],
        }


@dataclass(frozen=True, eq=False)
class _Judged:
    """What was asked of news and prices, before it is laid out on all bars of a run."""

    checks: tuple[Check, ...]
    clock: ClockJudgement


def judge_data(
    config: Config, world: World, samples: Sequence[Samples], rows: slice, kept: Kept | None = None
) -> DataVerdict:
    """Ask every check of the news and prices that a run reads.

    These are the bars from a year before the first article that is learnt from or traded on until the last test row,
    those of every symbol that has prices there, and the news known in that time.

    Parameters
    ----------
    config : Config
    world : World
    samples : sequence of Samples
    rows : slice
        Positions of the bars to trade among all bars.
    kept : Kept, optional
        Where what was said of the very same news and prices is looked up; by default nowhere.

    Returns
    -------
    DataVerdict

    Raises
    ------
    ConfigError
        If ``data.accept`` names a check that does not exist.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.run import judge_data
    >>> plan = prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet())
    >>> judge_data(plan.config, plan.world, plan.parts, plan.rows).refused
    ()
    """
    prices = world.prices
    bars, quoted, read, inside = _reach(config, world, samples, rows)
    calendar = prices.calendar
    counts, as_of = world.counts["news"], config.as_of
    news = rows_where(world.news, inside).reset_index(drop=True)

    def judge() -> _Judged:
        # Loaded here because what is looked up needs none of the checks.
        from embargo.data_loaders.checks.all_checks import check_news, check_prices

        facts = facts_of(news, world.stories[inside])
        clock = clock_of(facts.rows, read)
        said = check_news(facts, read, calendar=calendar, counts=counts, judgement=clock)
        return _Judged((*said, *check_prices(read, as_of=as_of)), clock)

    given = [news, read, calendar, counts, as_of]
    judged = judge() if kept is None else kept.of("judge_data", given, judge, _Judged, Check, ClockJudgement, Complaint)
    checks = judged.checks
    if unknown := sorted(set(config.data.accept) - {check.code for check in checks}):
        codes = ", ".join(sorted(check.code for check in checks))
        raise ConfigError(f"data.accept: there is no check {unknown[0]!r}. The codes are {codes}.")
    placed = [_placed(check, bars, quoted, total=len(prices.open_at)) for check in checks]
    return DataVerdict(
        checks=tuple(sorted(placed, key=lambda check: GRADES.index(check.verdict))),
        accepted=dict(config.data.accept),
        places={check.code: places_of(check, prices) for check in placed if check.verdict != "clean"},
        period=(read.open_at[0], read.open_at[-1]),
        clock=judged.clock,
        world=world,
    )


def clock_of(news: pd.DataFrame, prices: Prices, *, calendar: str | None = None) -> ClockJudgement:
    """Judge the clock of news by their hours, and by how far and which way prices moved at the stamps."""
    return judge_clock(news, calendar=calendar or prices.calendar, prices=prices, tone=tone_of(news))


def tone_of(news: pd.DataFrame) -> pd.Series:
    """Read news with the word list, which knows no prices: from -1 (bad) to 1 (good), 0 for nothing."""
    good, bad = count_all_words(news["text"], signs_of()).T
    return pd.Series(np.tanh((good - bad).astype(float)), index=news.index)


def read_by(
    config: Config, world: World, samples: Sequence[Samples], rows: slice
) -> tuple[slice, np.ndarray, Prices, pd.DataFrame]:
    """Cut out what a run reads: bars, which symbols have prices there, those prices, and the news of that time.

    Parameters
    ----------
    config : Config
    world : World
    samples : sequence of Samples
    rows : slice
        As in `judge_data`.
    """
    bars, quoted, read, inside = _reach(config, world, samples, rows)
    return bars, quoted, read, rows_where(world.news, inside).reset_index(drop=True)


def _reach(
    config: Config, world: World, samples: Sequence[Samples], rows: slice
) -> tuple[slice, np.ndarray, Prices, np.ndarray]:
    """Do as `read_by`, and tell which of the world's news are read: bool, shape (rows,)."""
    prices = world.prices
    learnt = (
        [] if config.labels.source == "file" else [part for each in samples for part in (each.train, each.validation)]
    )
    traded_on = [each.test_news for each in samples]
    first = min(frame["known_at"].min() for frame in (*learnt, *traded_on))
    last = max((frame["ends_at"].max() for frame in learnt), default=first)
    start = min(int(prices.open_at.searchsorted(first)), rows.start) - round(YEARS_BEFORE * world.periods_per_year)
    bars = slice(max(start, 0), max(rows.stop, int(prices.open_at.searchsorted(last, side="right"))))
    quoted = prices.close.iloc[bars].notna().any(axis=0).to_numpy()
    read = prices.select(bars=bars, symbols=[name for name, there in zip(prices.symbols, quoted, strict=True) if there])
    until = max(read.close_at[-1], *(frame["known_at"].max() for frame in traded_on))
    return bars, quoted, read, world.news["known_at"].between(first, until).to_numpy()


def _placed(check: Check, bars: slice, quoted: np.ndarray, *, total: int) -> Check:
    """Lay the marks of a check of some bars and symbols out on all of them."""
    if check.marked is None:
        return check
    marked = np.zeros((total, len(quoted)), dtype=bool)
    marked[bars, quoted] = check.marked
    return replace(check, marked=marked)


def places_of(check: Check, prices: Prices) -> str:
    """Name the symbols and bars that a check marks, or gives as examples; empty where no single bars are at fault.

    Parameters
    ----------
    check : Check
    prices : Prices
        Those whose bars its ``marked`` stand for.
    """
    examples = check.rows
    if "bar" in examples.columns and "symbol" not in examples.columns:
        found = examples[["bar"]].assign(symbol="all symbols")
    elif check.marked is not None and check.marked.any():
        bars, columns = np.nonzero(check.marked)
        found = pd.DataFrame({"symbol": np.asarray(prices.symbols)[columns], "bar": prices.open_at[bars]})
    elif "bar" in examples.columns:
        found = examples[["symbol", "bar"]]
    else:
        return ""
    groups = sorted(found.groupby("symbol", sort=False)["bar"], key=lambda group: -len(group[1]))
    if len(groups) == len(prices.symbols) > 1 and len({_stretch(bar) for _, bar in groups}) == 1:
        groups = [(f"all {len(groups)} symbols", groups[0][1])]
    told = [f"{symbol} {_stretch(bar)}" for symbol, bar in groups[:MOST_SYMBOLS]]
    left = len(groups) - MOST_SYMBOLS
    more = [f"{left:,} more symbol{'s' * (left > 1)}"] if left > 0 else []
    several = len(examples) == MAX_EXAMPLES and len(found) == len(examples)
    return f"{'among them ' if several else ''}{'; '.join([*told, *more])}"


def _stretch(bars: pd.Series) -> str:
    first, last = f"{bars.min():%Y-%m-%d}", f"{bars.max():%Y-%m-%d}"
    return first if len(bars) == 1 else f"{len(bars):,} bars, {first} to {last}"
