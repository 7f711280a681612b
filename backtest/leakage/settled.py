"""A whole run repeated in a world whose future differs: what was settled before must stay as it was, bit for bit.

The run hands over one table for each of its stages, in the order in which they follow one another. The first stage that
moved tells what looked ahead, and a word that stands in later texts alone tells into what it was carried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.causality import CANARY
from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, plain
from embargo.data_loaders.errors import DataError

TITLE = CHECKS["check_settled"].title
UNIT = "largest change of a number that was already settled"

# What moves first says what looked ahead.
CODES: Mapping[str, str] = MappingProxyType(
    {
        "news": "D8",
        "samples": "S5",
        "prompts": "R1",
        "models": "S4",
        "calibration": "M12",
        "scores": "R3",
        "fusion": "S4",
        "signal": "T1",
        "weights": "T1",
        "conditions": "T7",
        "orders": "T7",
    }
)
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "news": "What is kept of the news at an instant must not depend on later articles: drop repeats in order of "
        "time.",
        "samples": "Cut training and validation by when texts and labels were known, and learn thresholds of labels on "
        "training rows alone.",
        "prompts": "Choose examples, and build the index with all its statistics, from what was known before training "
        "ended.",
        "models": "Fit on the training part alone: vocabulary, scaling and weights must not see later rows.",
        "calibration": "Calibrate on the validation part alone, which ends before the test window begins.",
        "scores": "Score each article by its own text: no statistic over a batch or over the test window.",
        "fusion": "Fit a fusion on the test windows before its own alone: features, scaling and returns.",
        "signal": "Replace what is computed over all bars by what had closed at each decision; see "
        "signals.aggregation.",
        "weights": "Replace what is computed over all bars (volatility, regimes) by what had closed at each decision.",
        "conditions": "Cap and move fills by the volume and volatility of bars that had closed at the decision; see "
        "backtest.books.execution.",
        "orders": "Fill at a price and a volume that were there at the fill, not at ones known when the bar has "
        "closed.",
    }
)

Settled = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Moved:
    """The first difference between two tables of which neither may depend on the future."""

    stage: str
    column: str
    where: str
    before: Any
    after: Any
    size: float


def check_settled(
    before: Settled, carried: Callable[[bool], Settled], *, at: pd.Timestamp, changed: str = "everything later changed"
) -> Finding:
    """Carry a run out again in a world that differs only after an instant, and require what was settled to stay (T1).

    A run that moves in an unchanged world too does not repeat itself, which proves nothing. The finding carries the
    code of what the stage that moved first looks ahead by (`CODES`), T1 where nothing moved.

    Silent on: other instants, knowledge that the inputs themselves hold, and whatever is taken from an earlier run in
    spite of other content.

    Parameters
    ----------
    before : mapping of stage to DataFrame
        What the run had settled by ``at``, in the order of the stages, named as in `CODES`.
    carried : callable
        ``carried(True)`` repeats the run in the world that differs after ``at``, ``carried(False)`` in the same world,
        and each returns what was settled by then. Tables of other names are searched for the canary alone.
    at : Timestamp
        UTC.
    changed : str
        What differs.

    Returns
    -------
    Finding
        ``inconclusive`` where a world cannot be carried through or nothing was settled by then.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_settled
    >>> at = pd.Timestamp('2024-03-01', tz='UTC')
    >>> def weights(last):
    ...     prices = pd.Series([10.0, 11.0, last])
    ...     return {'weights': (prices / prices.mean()).head(2).to_frame('BTC')}
    >>> found = check_settled(weights(12.0), lambda changed: weights(24.0 if changed else 12.0), at=at)
    >>> found.code, found.verdict
    ('T1', 'leak')
    """
    n_settled = {stage: len(table) for stage, table in before.items() if len(table)}
    if not n_settled:
        return Finding("T1", "inconclusive", TITLE, f"Nothing had been settled by {plain(at)}, so nothing can move.")
    try:
        after = carried(True)
        moved, traces = first_moved(before, after), holding_canary(after)
        control = first_moved(before, carried(False)) if moved is not None or traces else None
    except DataError as failure:
        detail = f"The world that differs after {plain(at)} could not be carried through: {failure}"
        return Finding("T1", "inconclusive", TITLE, detail, remedy=DEEPER)
    if control is not None:
        return unrepeatable(control)
    if moved is not None:
        return leak_at(moved.stage, [evidence_of(moved, at, [changed])], 1, traces)
    if traces:
        stage = next((trace["stage"] for trace in traces if trace["stage"] in CODES), "models")
        return leak_at(
            stage, [trace | {"changed": changed, "perturbed_after": plain(at)} for trace in traces], 1, traces
        )
    counted = ", ".join(f"{count:,} of {stage}" for stage, count in n_settled.items())
    detail = (
        f"{changed[0].upper()}{changed[1:]} after {plain(at)}, and what had been settled by then stayed bit-identical "
        f"(rows compared: {counted}). Fits and scores were taken from this run wherever their content was the same; "
        "`embargo audit --deep` fits anew and asks at more instants."
    )
    return Finding("T1", "pass", TITLE, detail, effect=0.0, unit=UNIT)


DEEPER = "Carry the run out again in other worlds: embargo audit --deep."


def unrepeatable(moved: Moved) -> Finding:
    """Say of a run that it does not repeat itself, so that nothing can be said of the future."""
    detail = (
        f"inconclusive: non-deterministic. The same files gave other {moved.stage} in two runs ({moved.column}, "
        f"{moved.where}: {moved.before} and {moved.after}), so nothing can be said about the future."
    )
    return Finding("T1", "inconclusive", TITLE, detail, remedy="Seed every random step and fix the order of ties.")


def first_moved(before: Settled, after: Settled) -> Moved | None:
    """Find the first stage, and in it the first column and row, in which two runs differ by a single bit."""
    for stage, left in before.items():
        right = after[stage]
        if len(left) != len(right) or list(left.columns) != list(right.columns):
            return Moved(stage, "rows", "all together", len(left), len(right), float("inf"))
        # Column by column takes many times longer where there are many symbols, and hardly ever does one differ.
        if left.reset_index(drop=True).equals(right.reset_index(drop=True)):
            continue
        for name in left.columns:
            one, two = (frame[name].reset_index(drop=True) for frame in (left, right))
            if one.equals(two):
                continue
            unlike = (one != two) & ~(one.isna() & two.isna())
            if unlike.any():
                row = int(np.argmax(unlike))
                return Moved(stage, str(name), _named(left, row), plain(one[row]), plain(two[row]), _largest(one, two))
    return None


def holding_canary(settled: Settled) -> list[dict[str, Any]]:
    """Name the settled objects that hold the word which stands in later texts alone, and the first row of each."""
    word = CANARY.split()[0]
    found = []
    for stage, table in settled.items():
        for name in table.columns.intersection(["text", "term"]):
            hit = table[name].astype("str").str.contains(word, regex=False).to_numpy(dtype=bool)
            if hit.any():
                row = int(np.argmax(hit))
                found.append(
                    {"stage": stage, "column": name, "where": _named(table, row), "value": str(table[name].iloc[row])}
                )
    return found


def evidence_of(moved: Moved, at: pd.Timestamp, changed: Sequence[str]) -> dict[str, Any]:
    """Write down what moved in one world, JSON-able."""
    return {
        "stage": moved.stage,
        "column": moved.column,
        "where": moved.where,
        "value": moved.before,
        "value_perturbed": moved.after,
        "changed": ", ".join(changed),
        "perturbed_after": plain(at),
        "largest_change": moved.size,
    }


def leak_at(
    stage: str, faults: Sequence[dict[str, Any]], compared: int, traces: Sequence[dict[str, Any]] = ()
) -> Finding:
    """Report what moved first at one stage in some of the worlds compared, and what holds the canary."""
    faults = sorted(faults, key=lambda fault: str(fault["perturbed_after"]))
    shown, size = faults[0], max(fault.get("largest_change", float("inf")) for fault in faults)
    if "value_perturbed" in shown:
        detail = (
            f"In {len(faults)} of {compared} worlds that differ only in the future, what moved first were the {stage}: "
            f"{shown['column']} of {shown['where']} was {shown['value']} and became {shown['value_perturbed']} when "
            f"{shown['changed']} after {shown['perturbed_after']}."
        )
    else:
        detail = f"What was settled holds texts that were known only after {shown['perturbed_after']}."
    if traces:
        held = "; ".join(f"{trace['stage']}, {trace['where']}" for trace in traces)
        detail += f" The word that was put into later texts alone stands in: {held}."
    effect = size if np.isfinite(size) else None
    more = (trace for trace in traces if not any(trace.items() <= fault.items() for fault in faults))
    rows = [*faults, *more][:EVIDENCE_ROWS]
    # What is no number, or is missing on one side, changed by no size that JSON could carry.
    evidence = [plain(row) for row in rows]
    return Finding(CODES[stage], "leak", TITLE, detail, evidence, effect, UNIT, REMEDIES[stage])


def _named(table: pd.DataFrame, row: int) -> str:
    """Say which row of a table is meant."""
    fold = f" of fold {table['fold'].iloc[row]}" if "fold" in table.columns else ""
    for name, what in (("article_id", "article"), ("use", "what was read by")):
        if name in table.columns:
            return f"{what} {table[name].iloc[row]}{fold}"
    at = table.index[row]
    return f"{at}" if isinstance(at, pd.Timestamp) else f"row {row}{fold}"


def _largest(one: pd.Series, two: pd.Series) -> float:
    if not pd.api.types.is_numeric_dtype(one.dtype):
        return float("inf")
    gap = (one.astype(float) - two.astype(float)).abs()
    return float("inf") if (one.isna() != two.isna()).any() else float(gap.max())
