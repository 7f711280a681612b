"""Where training labels come from: an annotator's column, a labelled text set, or the returns that followed.

Every function returns the sample frame ``article_id, text, label, known_at, starts_at, ends_at``, in which
[starts_at, ends_at] is the interval the label was computed over, and counts whatever it set aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import decided_before
from embargo.data_loaders.checks.repeats import text_numbers
from embargo.data_loaders.errors import ConfigError, DataError, such
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.schemas import Prices, as_utc, time_order, utc_microseconds

COMMON_NAMES: Mapping[str, str] = {"negative": "bearish", "positive": "bullish"}
SAMPLE_COLUMNS = ("article_id", "text", "label", "known_at", "starts_at", "ends_at")
# Beside these while samples are planned: the number of each text, found once.
STORY = "_story"


@dataclass(frozen=True)
class Labelled:
    """A sample frame and how many rows it was made from and why others were set aside.

    Examples
    --------
    >>> from embargo.data_loaders import SimulatedMarket, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> from embargo.data_loaders import samples_from_news
    >>> list(samples_from_news(market.news).frame.columns)
    ['article_id', 'text', 'label', 'known_at', 'starts_at', 'ends_at']
    """

    frame: pd.DataFrame
    counts: dict[str, int]


def encode(labels: pd.Series, mapping: Mapping[str, str] | None, *, where: str) -> pd.Series:
    """Turn names into 0, 1, 2; missing stays missing, an unknown name is an error."""
    names = {name: name for name in CLASSES} | dict(COMMON_NAMES if mapping is None else mapping)
    wrong = sorted(set(names.values()) - set(CLASSES))
    if wrong:
        raise ConfigError(f"{where}: the label mapping leads to {wrong}; the classes are {list(CLASSES)}.")
    codes = {name: float(CLASSES.index(meant)) for name, meant in names.items()}
    missing = labels.isna()
    given = labels[~missing]
    # Texts repeat a few names; other things may be equal and yet written differently.
    place, distinct = (np.arange(len(given)), given) if given.dtype != "str" else pd.factorize(given)
    each = pd.Series(distinct).astype("str").str.strip()
    found = each.map(codes).astype(float)
    found = found.fillna(each.str.lower().map(codes).astype(float))
    words, code = (pd.Series(side.to_numpy()[place], index=given.index) for side in (each, found))
    odd = code.isna()
    if odd.any():
        raise DataError(
            f"{where}: {int(odd.sum())} labels are unknown, first {words[odd].iloc[0]!r} at row {odd.idxmax()!r}. "
            f"Known are {sorted(names)}; add the others with 'mapping'."
        )
    return code.reindex(labels.index)


def settle(frame: pd.DataFrame, counts: dict[str, int]) -> Labelled:
    """Keep one row per article and normalised text; drop and count texts whose labels contradict each other.

    Where the frame has a column `STORY`, of `text_numbers`, texts are not compared again, and it stays in the samples.
    """
    rows = LabelledRows.of(frame)
    kept, found = rows.settled()
    counts |= found
    # Rows are taken once, for copies of all texts are what fills the memory.
    return Labelled(rows.samples(kept).reset_index(drop=True), counts)


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows that carry a label, in the order of time, from which samples are settled as of any instant.

    Attributes
    ----------
    frame : DataFrame
        Rows of `labelled_rows`, those without a label among them.
    place : ndarray of int64, shape (labelled,)
        Their positions in ``frame``, in the order of known_at and article_id.
    known_at : ndarray of datetime64[us], shape (labelled,)
    label, story, article : ndarray of int64, shape (labelled,)
        The class, the number of the text and that of the article.
    """

    frame: pd.DataFrame
    place: np.ndarray
    known_at: np.ndarray
    label: np.ndarray
    story: np.ndarray
    article: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> LabelledRows:
        """Put rows in order and number their articles, and texts where the frame has no column `STORY`."""
        place = np.flatnonzero(frame["label"].notna().to_numpy())
        told = frame if len(place) == len(frame) else frame.iloc[place]
        story = told[STORY].to_numpy() if STORY in frame.columns else text_numbers(told["text"])
        order = time_order(told)
        return cls(
            frame,
            place[order],
            utc_microseconds(told["known_at"])[order],
            told["label"].to_numpy()[order].astype(np.int64),
            story[order],
            pd.factorize(told["article_id"])[0][order],
        )

    def settled(self, first: int | None = None) -> tuple[np.ndarray, dict[str, int]]:
        """Tell which of the ``first`` rows become samples if nothing later is known; by default, of all.

        Returns
        -------
        kept : ndarray of int64, shape (samples,)
            Increasing.
        counts : dict of str to int
            ``unlabelled`` of the whole frame, ``conflicting_texts, repeated_articles`` and ``samples``.
        """
        label, story = self.label[:first], self.story[:first]
        contradicted = _contradicted(story, label)
        kept = np.flatnonzero(~contradicted)
        article = self.article[kept]
        pioneer = np.empty(article.max(initial=-1) + 1, dtype=np.int64)
        pioneer[article[::-1]] = kept[::-1]
        fresh = pioneer[article] == kept
        counts = {
            "unlabelled": len(self.frame) - len(self.place),
            "conflicting_texts": int(contradicted.sum()),
            "repeated_articles": int((~fresh).sum()),
            "samples": int(fresh.sum()),
        }
        return kept[fresh], counts

    def samples(self, kept: np.ndarray) -> pd.DataFrame:
        """Take the rows that are kept: `SAMPLE_COLUMNS`, and `STORY` where the frame has it."""
        columns = [*SAMPLE_COLUMNS, *([STORY] if STORY in self.frame.columns else [])]
        taken: pd.DataFrame = self.frame[columns].iloc[self.place[kept]]
        return taken.assign(label=self.label[kept])


def _contradicted(story: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Tell which rows are of a text that some row labels otherwise; shape (n,)."""
    first = np.empty(story.max(initial=-1) + 1, dtype=np.int64)
    first[story[::-1]] = label[::-1]
    disputed = np.zeros(len(first), dtype=bool)
    disputed[story[label != first[story]]] = True
    return np.asarray(disputed[story])


def samples_from_news(
    news: pd.DataFrame,
    column: str = "label",
    *,
    mapping: Mapping[str, str] | None = None,
    ends_at: str | None = None,
) -> Labelled:
    """Make samples from a column of human or vendor labels in the news.

    Parameters
    ----------
    news : DataFrame
        Validated news.
    column : str
        Holds ``bearish``, ``neutral``, ``bullish`` (or ``negative``, ``positive``); missing where unlabelled.
    mapping : mapping, optional
        Source label to class; replaces the default one of ``negative`` and ``positive``.
    ends_at : str, optional
        Column that says when each label was complete, instants with an offset; by default labels are taken for
        readings of the text, complete when it was known.

    Returns
    -------
    Labelled
        One sample per article with ``starts_at = known_at`` and ``ends_at``, never before it. Counts: ``rows``,
        ``unlabelled, conflicting_texts`` (rows whose normalised text carries different labels: all are dropped),
        ``repeated_articles`` (further rows of an article filed under several symbols) and ``samples``.

    Raises
    ------
    DataError
        If a column is missing, holds an unknown label, has no instant with an offset for a label, or one before its
        article was published.

    Examples
    --------
    >>> from embargo.data_loaders import SimulatedMarket, samples_from_news, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> samples_from_news(market.news).counts["samples"]
    78
    """
    return settle(labelled_rows(news, column, mapping=mapping, ends_at=ends_at), {"rows": len(news)})


def labelled_rows(
    news: pd.DataFrame, column: str, *, mapping: Mapping[str, str] | None = None, ends_at: str | None = None
) -> pd.DataFrame:
    """Return the rows that `settle` makes samples of, index of the news; arguments as of `samples_from_news`."""
    if column not in news.columns:
        raise DataError(
            f"labels: the news have no column {column!r}; they have {list(news.columns)}. Name another one."
        )
    known_at = as_utc(news["known_at"], what="labels, column known_at")
    encoded = encode(news[column], mapping, where=f"labels, column {column}")
    return pd.DataFrame(
        {
            "article_id": news["article_id"],
            "text": news["text"],
            "label": encoded,
            "known_at": known_at,
            "starts_at": known_at,
            "ends_at": known_at if ends_at is None else complete_at(news, ends_at, known_at, encoded.notna()),
        }
    )


def complete_at(news: pd.DataFrame, column: str, known_at: pd.Series, labelled: pd.Series) -> pd.Series:
    """Return when each label was complete; an unlabelled row is complete when it is known.

    Parameters
    ----------
    news : DataFrame
        Validated news.
    column : str
        Holds the instants, as `samples_from_news` takes them under ``ends_at``.
    known_at : Series of UTC instants, shape (n,)
    labelled : Series of bool, shape (n,)
        Whether a row has a label.

    Raises
    ------
    DataError
        If the column is missing, or an instant is, has no offset or lies before its article was published.
    """
    if column not in news.columns:
        raise DataError(
            f"labels: the news have no column {column!r} with the end of each label, only {list(news.columns)}. "
            "Map it under news.columns, or name 'known_at' for readings of the text alone."
        )
    try:
        stated = news.loc[labelled, column].map(pd.Timestamp, na_action="ignore")
    except ValueError as failure:
        raise DataError(f"labels, column {column}: {failure}. Write instants as ISO 8601 with an offset.") from failure
    ends = as_utc(stated, what=f"labels, column {column}")
    early = ends < news.loc[labelled, "published_at"]
    if early.any():
        first = news.loc[early[early].index[0]]
        raise DataError(
            f"labels, column {column}: the label of article {first['article_id']!r} was complete at {first[column]}, "
            f"before the article was published, {first['published_at']} ({such(early.sum(), 'row')}). Give the instant "
            "from which on each label could be told, or name 'known_at' for readings of the text alone."
        )
    ends = ends.reindex(news.index).fillna(known_at)
    return ends.where(ends > known_at, known_at)


def forward_returns(
    news: pd.DataFrame, prices: Prices, decided_at: pd.DatetimeIndex, *, horizon_bars: int = 1
) -> Labelled:
    """Compute what each article's symbol earned next, net of the equal-weight universe.

    The return runs from open[t] to open[t + horizon_bars], where t is the first row with ``decided_at[t] >=
    known_at``: the earliest position anybody could have held. The universe is the mean over all symbols with both
    prices. An article under several symbols gets the mean over those with a return.

    Parameters
    ----------
    news : DataFrame
        Validated news.
    prices : Prices
        Validated prices.
    decided_at : DatetimeIndex, shape (bars,)
        From ``calendars.decision_times``.
    horizon_bars : int
        At least 1.

    Returns
    -------
    Labelled
        ``article_id, text, known_at, starts_at, ends_at, value``: ``value`` is a simple return (fraction) over the
        whole horizon, ``starts_at = known_at`` and ``ends_at`` is the instant of open[t + horizon_bars].
        Counts: ``rows``, ``without_prices`` (rows whose symbol has no column), ``before_prices`` (known when a bar
        before the first one was decided, so that the first bar is not their next), ``beyond_prices`` (the horizon ends
        after the last bar), ``missing_prices`` (no price at either end), ``averaged_rows`` (further rows of an article
        under several symbols) and ``samples``.

    Raises
    ------
    ConfigError
        If ``horizon_bars`` is below 1 or ``decided_at`` does not fit the prices.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import SimulatedMarket, decision_times, forward_returns, simulate_market
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> decided_at = decision_times(market.prices.open_at, pd.Timedelta(minutes=5))
    >>> forward = forward_returns(market.news, market.prices, decided_at)
    >>> forward.counts["samples"], forward.counts["beyond_prices"]
    (75, 3)
    >>> round(forward.frame["value"].iloc[0], 5)
    np.float64(0.00363)
    """
    bars = len(prices.open_at)
    if horizon_bars < 1:
        raise ConfigError(f"labels: horizon_bars must be at least 1, got {horizon_bars}.")
    if len(decided_at) != bars or (decided_at > prices.open_at).any():
        raise ConfigError(
            f"labels: decided_at has {len(decided_at)} entries for {bars} bars, or one after its open. "
            "Make it with calendars.decision_times(prices.open_at, latency)."
        )
    known_at = as_utc(news["known_at"], what="labels, column known_at")
    opens = prices.open.to_numpy(dtype=float)
    earned = np.full_like(opens, np.nan)
    if bars > horizon_bars:
        earned[:-horizon_bars] = opens[horizon_bars:] / opens[:-horizon_bars] - 1.0
    priced = np.isfinite(earned)
    universe = np.where(priced, earned, 0.0).sum(axis=1) / np.maximum(priced.sum(axis=1), 1)

    instants = utc_microseconds(known_at)
    row = np.searchsorted(utc_microseconds(decided_at), instants, side="left")
    early = np.zeros(len(news), dtype=bool)
    if (row == 0).any():
        before = decided_before(prices.open_at, prices.close_at, decided_at, prices.calendar)
        early = instants <= utc_microseconds(pd.DatetimeIndex([before]))[0]
    column = prices.open.columns.get_indexer(pd.Index(news["symbol"]))
    has_column, in_range = column >= 0, row + horizon_bars < bars
    usable = has_column & ~early & in_range
    safe_row = np.where(usable, row, 0)
    value = np.where(usable, earned[safe_row, np.where(usable, column, 0)] - universe[safe_row], np.nan)
    frame = pd.DataFrame(
        {
            "article_id": news["article_id"],
            "text": news["text"],
            "known_at": known_at,
            "starts_at": known_at,
            "ends_at": prices.open_at[np.where(usable, safe_row + horizon_bars, bars - 1)],
            "value": value,
        }
    )
    counts = {
        "rows": len(news),
        "without_prices": int((~has_column).sum()),
        "before_prices": int((has_column & early).sum()),
        "beyond_prices": int((has_column & ~early & ~in_range).sum()),
        "missing_prices": int((usable & np.isnan(value)).sum()),
    }
    frame = frame.loc[np.isfinite(value)]
    frame["value"] = frame.groupby("article_id")["value"].transform("mean")
    frame["ends_at"] = frame.groupby("article_id")["ends_at"].transform("max")
    repeated = frame.duplicated("article_id")
    counts["averaged_rows"] = int(repeated.sum())
    frame = frame.loc[~repeated].reset_index(drop=True)
    counts["samples"] = len(frame)
    return Labelled(frame, counts)


def fit_thresholds(train_values: pd.Series | np.ndarray, neutral_share: float = 1 / 3) -> tuple[float, float]:
    """Choose the returns between which a label is neutral: symmetrical quantiles of TRAINING returns.

    Fitting on anything later than training is a leak: hand in only the values of the training window.

    Parameters
    ----------
    train_values : Series or ndarray, shape (n,)
        Forward returns of training samples.
    neutral_share : float
        Share of them that becomes neutral, in (0, 1).

    Returns
    -------
    (lower, upper) : two floats
        The quantiles (1 - neutral_share) / 2 and 1 - (1 - neutral_share) / 2.

    Raises
    ------
    ConfigError
        If the share is out of range.
    DataError
        If there are fewer than three finite values, or the two quantiles coincide.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.data_loaders import fit_thresholds
    >>> fit_thresholds(np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), neutral_share=0.5)
    (-0.5, 0.5)
    """
    if not 0.0 < neutral_share < 1.0:
        raise ConfigError(f"labels: neutral_share must lie between 0 and 1, got {neutral_share}.")
    values = np.asarray(train_values, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        raise DataError(f"labels: {len(values)} training returns cannot set thresholds. Lengthen the training window.")
    tail = (1.0 - neutral_share) / 2.0
    lower, upper = (float(quantile) for quantile in np.quantile(values, [tail, 1.0 - tail]))
    if not lower < upper:
        raise DataError(
            f"labels: both thresholds are {lower}: too many equal training returns. "
            "Use a longer horizon or another set."
        )
    return lower, upper


def cut_classes(values: pd.Series | np.ndarray | Sequence[float], lower: float, upper: float) -> np.ndarray:
    """Cut returns into classes: 0 (bearish) below ``lower``, 2 (bullish) above ``upper``, 1 (neutral) between.

    Parameters
    ----------
    values : Series, ndarray or sequence of float, shape (n,)
        Returns, fractions.
    lower, upper : float
        Thresholds, from `fit_thresholds`.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ConfigError
        If ``lower`` is not below ``upper``.
    DataError
        If a value is missing.

    Examples
    --------
    >>> from embargo.data_loaders import cut_classes
    >>> cut_classes([-0.03, 0.0, 0.02], -0.01, 0.01)
    array([0, 1, 2])
    """
    if not lower < upper:
        raise ConfigError(f"labels: the lower threshold {lower} must be below the upper one {upper}.")
    numbers = np.asarray(values, dtype=float)
    if np.isnan(numbers).any():
        raise DataError(
            f"labels: the return at position {int(np.argmax(np.isnan(numbers)))} is missing. Drop it first."
        )
    return np.where(numbers < lower, 0, np.where(numbers > upper, 2, 1)).astype(np.int64)


def samples_from_returns(forward: pd.DataFrame, lower: float, upper: float) -> pd.DataFrame:
    """Turn forward returns into samples.

    Parameters
    ----------
    forward : DataFrame
        The frame of `forward_returns`.
    lower, upper : float
        Thresholds, from `fit_thresholds` on training returns alone.

    Returns
    -------
    DataFrame
        ``article_id, text, label, known_at, starts_at, ends_at``.

    Raises
    ------
    ConfigError, DataError
        As `cut_classes`.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.data_loaders import SimulatedMarket, decision_times, forward_returns, simulate_market
    >>> from embargo.data_loaders import samples_from_returns
    >>> market = simulate_market(SimulatedMarket(n_symbols=2, start="2020-01-01", end="2020-03-31"))
    >>> decided_at = decision_times(market.prices.open_at, pd.Timedelta(minutes=5))
    >>> forward = forward_returns(market.news, market.prices, decided_at).frame
    >>> samples_from_returns(forward, -0.01, 0.01)["label"].value_counts(sort=False).to_dict()
    {1: 34, 0: 19, 2: 22}
    """
    return forward.assign(label=cut_classes(forward["value"], lower, upper))[list(SAMPLE_COLUMNS)]
