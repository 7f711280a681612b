"""The examples and articles that a reader's prompts show, each held against the decision that it helps to make.

A prompt is as old as the youngest thing in it: every item must have been known, and the label beside it complete, when
the article that is asked about was decided on.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, evidence_rows, length, moment, require_columns
from embargo.data_loaders.schemas import as_utc

SHOWN = ("example", "retrieved")
_SHARE = "share of prompts"
_UTC: Final = "datetime64[us, UTC]"
_OPTIONAL = ("news_at", "complete_at", "trained_until")
# Signs shown of a text.
_CUT = 160
_ITEM_COLUMNS = ("article_id", "asked_at", "part", "text", "item_at")
_RECORD_COLUMNS = ("use", "text_hash", "at", "complete_at", "until")


def check_prompts(prompts: pd.DataFrame, record: pd.DataFrame | None = None) -> Finding:
    """Require that whatever a prompt shows was known when the article it asks about was decided on (R1).

    A leak: an example or a retrieved article that is dated after the decision, or whose text the news hold only from
    after it, whatever date it bears; and an item that the fit put within reach of prompts and that was known only from
    the test on. Suspicious: an item from after the end of training, where the reader promises to show none. Items of
    which nobody says when they were known prove nothing, nor do those whose date a reader of one's own states of a text
    that nobody else has.

    Silent on: prompts that were not written down, what the model behind them knows (M1), labels (R2), fixed words (R4).

    Parameters
    ----------
    prompts : DataFrame
        One row per item of each prompt, and one with another ``part`` for a prompt that shows none: ``article_id``,
        ``asked_at`` (UTC, the decision of the bar that the article reached), ``part`` (``"example"`` and
        ``"retrieved"`` are judged), ``text`` and ``item_at`` (UTC, when it was known by its own account; NaT where
        nobody says). If known: ``news_at`` (UTC, when the news first hold such a text), ``trained_until`` (UTC, what a
        reader promises to show nothing from after), ``stated`` (whether nobody but the reader dates it, since neither
        news nor samples hold such a text) and ``fold``.
    record : DataFrame, optional
        What a fit put within reach of prompts, shown or not: ``use, text_hash``, ``at`` and ``complete_at`` (UTC, when
        text and label were known, NaT where nobody says) and ``until`` (UTC, start of the test).

    Returns
    -------
    Finding
        Code ``R1``; ``effect`` is the share of prompts that show something later than their decision.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_prompts
    >>> asked = pd.Timestamp("2024-03-05 14:25", tz="UTC")
    >>> frame = pd.DataFrame({"article_id": ["a", "a"], "asked_at": asked, "part": "retrieved", "text": ["x", "y"]})
    >>> frame["item_at"] = [asked - pd.Timedelta(days=2), asked - pd.Timedelta(days=1)]
    >>> check_prompts(frame).verdict
    'pass'
    >>> finding = check_prompts(frame.assign(item_at=[asked, asked + pd.Timedelta(hours=1)]))
    >>> finding.verdict, finding.effect, finding.evidence[0]["text"]
    ('leak', 1.0, 'y')
    """
    check = CHECKS["check_prompts"]
    shown = _shown(prompts)
    kept = _kept(record)
    if prompts.empty and kept.empty:
        return Finding(check.code, "not-applicable", check.title, "The reader is asked without a prompt.")
    n_prompts = _number(prompts)
    known = shown["item_at"].where(~(shown["news_at"] > shown["item_at"]), shown["news_at"])
    late = _later_text(shown)
    reached = (kept["at"] >= kept["until"]).to_numpy()
    if late.any() or reached.any():
        share = _number(shown[late]) / n_prompts if n_prompts else 1.0
        said = []
        if late.any():
            ahead = (known - shown["asked_at"])[late].max()
            redated = late & ~(shown["item_at"] > shown["asked_at"]).to_numpy()
            said.append(
                f"{int(late.sum()):,} of {len(shown):,} items in {_number(shown[late]):,} of {n_prompts:,} prompts "
                f"were known only after the decision on the article that is asked about, by up to {length(ahead)}"
                + (f"; {int(redated.sum()):,} of them bear an earlier date than the news have" if redated.any() else "")
            )
        if reached.any():
            said.append(
                f"{int(reached.sum()):,} of {len(kept):,} items within reach of prompts were known only from the test "
                f"on, the latest at {moment(kept['at'].max())}"
            )
        rows = _evidence(shown.assign(known_at=known)[late]) or evidence_rows(kept[reached].drop(columns="complete_at"))
        return Finding(check.code, "leak", check.title, f"{'. '.join(said)}.", rows, share, _SHARE, check.remedy)
    beyond = (known > shown["trained_until"]).to_numpy()
    if beyond.any():
        detail = (
            f"{int(beyond.sum()):,} of {len(shown):,} items were known before their article was decided on, but after "
            "training ended: what a text is told by then depends on when it is asked."
        )
        rows = _evidence(shown.assign(known_at=known)[beyond])
        share = _number(shown[beyond]) / n_prompts
        return Finding(check.code, "suspicious", check.title, detail, rows, share, _SHARE, check.remedy)
    if shown["stated"].any():
        return _unverifiable(shown, n_prompts)
    undated = (shown["item_at"].isna() & shown["news_at"].isna()).to_numpy()
    unsaid = (kept["at"].isna()).to_numpy()
    if undated.any() or unsaid.any():
        detail = (
            f"Of {int(undated.sum()):,} of {len(shown):,} items in {_number(shown[undated]):,} of {n_prompts:,} "
            f"prompts nobody says when they were known, nor of {int(unsaid.sum()):,} of {len(kept):,} within reach of "
            "prompts."
        )
        remedy = "Date the examples and the articles that prompts may show: an undated one may come from the test."
        return Finding(check.code, "inconclusive", check.title, detail, _evidence(shown[undated]), None, "", remedy)
    if not len(shown):
        detail = f"{n_prompts:,} prompts show no article but the one that they ask about."
    else:
        gap = (shown["asked_at"] - known).min()
        detail = (
            f"{len(shown):,} items in {_number(shown):,} of {n_prompts:,} prompts were held against time: all were "
            f"known before the decision on the article that is asked about, by {length(gap)} or more."
        )
    if len(kept):
        detail += f" So were {len(kept):,} within reach of prompts, before the test."
    return Finding(check.code, "pass", check.title, detail, effect=0.0, unit=_SHARE)


def _unverifiable(shown: pd.DataFrame, n_prompts: int) -> Finding:
    """Say that dates which a reader states of texts of its own prove nothing."""
    check = CHECKS["check_prompts"]
    own = shown[shown["stated"].to_numpy()]
    detail = (
        f"{len(own):,} of {len(shown):,} items in {_number(own):,} of {n_prompts:,} prompts are in neither the news "
        f"nor the samples, such as {own['text'].iloc[0][:_CUT]!r}: when they were known, the reader alone says. "
        "A later article that was reworded looks like this."
    )
    remedy = (
        "Show texts as the news have them (the background of a FitRequest), so that they are found; hand others over "
        "through the loader, with the instant at which they were known."
    )
    rows, share = _evidence(own), _number(own) / n_prompts
    return Finding(check.code, "inconclusive", check.title, detail, rows, share, _SHARE, remedy)


def check_example_outcomes(prompts: pd.DataFrame, record: pd.DataFrame | None = None) -> Finding:
    """Require that labels shown beside examples, or remembered, were complete when the article was decided on (R2).

    An example whose text was known in time, and whose label, by its own account or by that of the labels that the run
    has of the same text, was complete only after the decision, is a leak: it tells an outcome that nobody could know. A
    label that is made of returns is complete when the last of them is earned.

    Silent on: examples whose text itself is later (R1), labels that nobody dates and the run does not have.

    Parameters
    ----------
    prompts : DataFrame
        As of `check_prompts`; ``item_at`` counts the label of an example, and ``complete_at`` (UTC, NaT where nobody
        says) is when the labels that the run has of such a text were complete.
    record : DataFrame, optional
        As of `check_prompts`.

    Returns
    -------
    Finding
        Code ``R2``; ``effect`` is the share of prompts that tell an outcome before its time.

    Raises
    ------
    DataError
        If columns are missing or instants are naive.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_example_outcomes
    >>> asked = pd.Timestamp("2024-03-05 14:25", tz="UTC")
    >>> frame = pd.DataFrame({"article_id": ["a"], "asked_at": asked, "part": "example", "text": ["x"]})
    >>> frame = frame.assign(item_at=asked - pd.Timedelta(days=1), complete_at=asked - pd.Timedelta(hours=1))
    >>> check_example_outcomes(frame).verdict
    'pass'
    >>> check_example_outcomes(frame.assign(complete_at=asked + pd.Timedelta(days=4))).verdict
    'leak'
    """
    check = CHECKS["check_example_outcomes"]
    shown, kept = _shown(prompts), _kept(record)
    examples = shown[(shown["part"] == "example").to_numpy()]
    taught = kept[(kept["use"] == "example").to_numpy()]
    if examples.empty and taught.empty:
        return Finding(check.code, "not-applicable", check.title, "No prompt shows an example with its label.")
    n_prompts = _number(prompts)
    in_time = ~_later_text(examples)
    complete = examples["complete_at"].where(~(examples["item_at"] > examples["complete_at"]), examples["item_at"])
    complete = complete.fillna(examples["item_at"])
    late = (complete > examples["asked_at"]).to_numpy() & in_time
    reached = ((taught["complete_at"] >= taught["until"]) & ~(taught["at"] >= taught["until"])).to_numpy()
    if late.any() or reached.any():
        said = []
        if late.any():
            ahead = (complete - examples["asked_at"])[late].max()
            said.append(
                f"{int(late.sum()):,} of {len(examples):,} examples in {_number(examples[late]):,} of {n_prompts:,} "
                f"prompts tell an outcome that was complete only after the decision, by up to {length(ahead)}"
            )
        if reached.any():
            said.append(
                f"{int(reached.sum()):,} of {len(taught):,} examples within reach of prompts have labels that were "
                "complete only from the test on"
            )
        rows = _evidence(examples.assign(complete_at=complete)[late]) or evidence_rows(taught[reached])
        share = _number(examples[late]) / n_prompts if n_prompts else 1.0
        return Finding(check.code, "leak", check.title, f"{'. '.join(said)}.", rows, share, _SHARE, check.remedy)
    undated = complete.isna().to_numpy()
    unsaid = taught["complete_at"].isna().to_numpy()
    if undated.any() or unsaid.any():
        detail = (
            f"Of {int(undated.sum()):,} of {len(examples):,} examples shown, and of {int(unsaid.sum()):,} of "
            f"{len(taught):,} within reach of prompts, nobody says when the label was complete."
        )
        remedy = "Say when each label was complete (labels.ends_at), and show no example without."
        return Finding(check.code, "inconclusive", check.title, detail, _evidence(examples[undated]), remedy=remedy)
    detail = (
        f"{len(examples):,} examples in {_number(examples):,} of {n_prompts:,} prompts have labels that were complete "
        f"before the decision, and {len(taught):,} within reach of prompts before the test."
    )
    return Finding(check.code, "pass", check.title, detail, effect=0.0, unit=_SHARE)


def _shown(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the items that prompts show, with every instant that may be known of them."""
    require_columns(prompts, _ITEM_COLUMNS, where="prompts")
    shown = prompts.loc[prompts["part"].isin(SHOWN)].reset_index(drop=True)
    for name in ("asked_at", "item_at", *_OPTIONAL):
        shown[name] = _instants(
            shown[name] if name in shown else pd.Series(pd.NaT, index=shown.index), f"prompts, {name}"
        )
    shown["stated"] = shown["stated"].astype(bool) if "stated" in shown else False
    return shown


def _kept(record: pd.DataFrame | None) -> pd.DataFrame:
    """Return what a fit put within reach of prompts."""
    if record is None:
        return pd.DataFrame(columns=list(_RECORD_COLUMNS)).astype(dict.fromkeys(_RECORD_COLUMNS[2:], _UTC))
    require_columns(record, _RECORD_COLUMNS, where="record of prompts")
    kept = record.loc[record["use"].isin(SHOWN)].reset_index(drop=True)
    for name in _RECORD_COLUMNS[2:]:
        kept[name] = _instants(kept[name], f"record of prompts, {name}")
    return kept


def _instants(column: pd.Series, what: str) -> pd.Series:
    """Return instants in UTC, NaT where nobody knows."""
    if column.isna().all():
        return pd.Series(pd.NaT, index=column.index, dtype=_UTC)
    return as_utc(column.dropna(), what=what).reindex(column.index).astype(_UTC)


def _later_text(shown: pd.DataFrame) -> np.ndarray:
    """Tell of which items the text itself is later than the decision, by the news or, where they lack it, by its date.

    The date of an example counts its label, so that of one whose text the news had in time it says nothing.
    """
    news_late = (shown["news_at"] > shown["asked_at"]).to_numpy()
    stated = (shown["item_at"] > shown["asked_at"]).to_numpy()
    in_time = (shown["news_at"] <= shown["asked_at"]).to_numpy() & (shown["part"] == "example").to_numpy()
    return np.asarray(news_late | (stated & ~in_time))


def _number(prompts: pd.DataFrame) -> int:
    """Count prompts: one for each article and fold."""
    keys = [name for name in ("fold", "article_id") if name in prompts]
    return len(prompts[keys].drop_duplicates())


def _evidence(rows: pd.DataFrame) -> list[dict[str, Any]]:
    if rows.empty:
        return []
    names = ("article_id", "fold", "asked_at", "part", "item_at", "news_at", "complete_at", "text")
    rows = rows[[name for name in names if name in rows]].dropna(axis=1, how="all").head(EVIDENCE_ROWS)
    return evidence_rows(rows.assign(text=rows["text"].str.slice(0, _CUT)))
