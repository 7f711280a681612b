"""Splits in time: labels must not reach over a boundary, and everything learned must be older than what is tested."""

from __future__ import annotations

import pandas as pd

from embargo.backtest.leakage.catalogue import CHECKS
from embargo.backtest.leakage.findings import Finding, aware_instant, evidence_rows, length, moment, require_columns
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import as_utc, is_among

SHUFFLED_SHARE = 0.05
_OVERLAP_TITLE = CHECKS["check_label_overlap"].title
_ORDER_TITLE = CHECKS["check_split_order"].title


def check_label_overlap(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    validation_start: pd.Timestamp,
    test_start: pd.Timestamp,
    *,
    embargo: pd.Timedelta,
) -> Finding:
    """Require that the interval of every label ends before the next block begins (S1).

    A training label that ends at or after ``validation_start``, or a validation label that ends at or after
    ``test_start``, was computed with prices of the block it is to be judged on: a leak. A label that ends closer to the
    next block than the embargo is suspicious (S3); between training and validation the gap is measured to the first
    validation label, so that it does not matter which side was thinned out.

    Parameters
    ----------
    train, validation : DataFrame
        ``article_id, starts_at, ends_at``: the interval (UTC) over which each label was computed.
    validation_start, test_start : Timestamp
        Where the next blocks begin (UTC).
    embargo : Timedelta
        Gap that was promised after labels end, not negative.

    Returns
    -------
    Finding
        Code ``S1``; ``effect`` is the share of samples whose label reaches over.

    Raises
    ------
    DataError
        If columns are missing or instants naive.
    ConfigError
        If the embargo is negative.

    References
    ----------
    López de Prado (2018), "Advances in Financial Machine Learning", chapter 7 (purging and embargo).

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_label_overlap
    >>> day = pd.Timedelta(days=1)
    >>> start = pd.Timestamp('2024-02-01', tz='UTC')
    >>> train = pd.DataFrame({'article_id': ['a'], 'starts_at': [start - 2 * day], 'ends_at': [start + day]})
    >>> validation = train.assign(article_id='b', starts_at=start + day, ends_at=start + 2 * day)
    >>> check_label_overlap(train, validation, start, start + 20 * day, embargo=day).verdict
    'leak'
    """
    if embargo < pd.Timedelta(0):
        raise ConfigError(f"label overlap: embargo must not be negative, got {embargo}.")
    validation_start = aware_instant(validation_start, what="label overlap, validation_start")
    test_start = aware_instant(test_start, what="label overlap, test_start")
    blocks = {name: _intervals(frame, name) for name, frame in (("train", train), ("validation", validation))}
    samples = sum(len(block) for block in blocks.values())
    if not samples:
        return Finding("S1", "not-applicable", _OVERLAP_TITLE, "There are no labelled samples.")
    bounds = {"train": min(validation_start, test_start), "validation": test_start}
    reaching = pd.concat([block[block["ends_at"] >= bounds[name]] for name, block in blocks.items()], ignore_index=True)
    if len(reaching):
        counts = reaching["part"].value_counts()
        furthest = (reaching["ends_at"] - pd.to_datetime(reaching["part"].map(bounds))).max()
        return Finding(
            "S1",
            "leak",
            _OVERLAP_TITLE,
            f"{int(counts.get('train', 0))} training and {int(counts.get('validation', 0))} validation labels of "
            f"{samples} end at or after the start of the next block (validation {moment(validation_start)}, test "
            f"{moment(test_start)}), by up to {length(furthest)}.",
            evidence_rows(reaching.sort_values("ends_at", ascending=False, kind="stable")),
            len(reaching) / samples,
            "share of samples",
            "Purge every sample whose label interval touches the next block.",
        )
    starts = {"train": blocks["validation"]["starts_at"].min(), "validation": test_start}
    close = []
    for name, block in blocks.items():
        following = bounds[name] if pd.isna(starts[name]) else max(starts[name], bounds[name])
        close.append(block[block["ends_at"] > following - embargo])
    near = pd.concat(close, ignore_index=True)
    if len(near):
        return Finding(
            "S1",
            "suspicious",
            _OVERLAP_TITLE,
            f"No label reaches over a boundary, but {len(near)} of {samples} end less than the embargo of "
            f"{length(embargo)} before the next block begins.",
            evidence_rows(near.sort_values("ends_at", ascending=False, kind="stable")),
            len(near) / samples,
            "share of samples",
            "Drop samples within the embargo of a boundary.",
        )
    return Finding(
        "S1",
        "pass",
        _OVERLAP_TITLE,
        f"All {samples} labels end before the next block begins, with the embargo of {length(embargo)} kept.",
        effect=0.0,
        unit="share of samples",
    )


def check_split_order(
    train: pd.DataFrame, validation: pd.DataFrame, test: pd.DataFrame, test_decided_at: pd.DatetimeIndex
) -> Finding:
    """Require the split to follow time and no article to sit on two sides (S5).

    Anything in training or validation known at or after the first test decision is a leak, as is an article_id that
    training or validation shares with test. Training that is younger than the oldest validation sample, or shares
    articles with it, is suspicious: it flatters what is chosen on validation.

    Parameters
    ----------
    train, validation, test : DataFrame
        ``article_id, known_at`` (UTC), one row per sample; ``test`` holds the articles the test decisions may read.
    test_decided_at : DatetimeIndex
        Instants (UTC) of the test decisions.

    Returns
    -------
    Finding
        Code ``S5``; ``effect`` is the share of training and validation samples on the wrong side.

    Raises
    ------
    DataError
        If columns are missing, instants are naive, or there are no test decisions.

    Examples
    --------
    >>> import pandas as pd
    >>> from embargo.backtest.leakage import check_split_order
    >>> days = pd.date_range('2024-01-01', periods=4, tz='UTC')
    >>> train, validation, test = (
    ...     pd.DataFrame({'article_id': [name], 'known_at': [day]}) for name, day in zip('abc', days[:3])
    ... )
    >>> check_split_order(train, validation, test, days[2:]).verdict
    'pass'
    >>> check_split_order(train, test, test, days[2:]).verdict
    'leak'
    """
    if len(test_decided_at) == 0:
        raise DataError("split order: there are no test decisions. Give the decision instants of the test bars.")
    parts = {}
    for name, frame in (("train", train), ("validation", validation), ("test", test)):
        require_columns(frame, ("article_id", "known_at"), where=f"{name} samples")
        part = frame[["article_id", "known_at"]].assign(part=name)
        part["known_at"] = as_utc(frame["known_at"], what=f"{name} samples, column known_at")
        parts[name] = part
    first = aware_instant(test_decided_at.min(), what="split order, first test decision")
    learned = pd.concat([parts["train"], parts["validation"]], ignore_index=True)
    if learned.empty:
        return Finding("S5", "not-applicable", _ORDER_TITLE, "There are no training or validation samples.")
    young = learned[learned["known_at"] >= first]
    in_test = is_among(learned["article_id"], parts["test"]["article_id"])
    shared, wrong = learned[in_test], learned[(learned["known_at"] >= first) | in_test]
    if len(wrong):
        share = len(wrong) / len(learned)
        shuffled = len(young) / len(learned) >= SHUFFLED_SHARE
        return Finding(
            "S5",
            "leak",
            _ORDER_TITLE,
            f"{len(young)} of {len(learned)} training and validation samples are known at or after the first test "
            f"decision ({moment(first)}), and {len(shared)} are articles of the test."
            + (" This looks like a shuffled split." if shuffled else ""),
            evidence_rows(wrong.sort_values("known_at", ascending=False, kind="stable")),
            share,
            "share of training and validation samples",
            "Split by known_at, all symbols together, and put all rows of one article on one side.",
        )
    oldest = parts["validation"]["known_at"].min()
    mixed = parts["train"][
        (parts["train"]["known_at"] > oldest)
        | is_among(parts["train"]["article_id"], parts["validation"]["article_id"])
    ]
    if len(mixed):
        return Finding(
            "S5",
            "suspicious",
            _ORDER_TITLE,
            f"All samples are older than the first test decision ({moment(first)}), but {len(mixed)} of "
            f"{len(parts['train'])} training samples are younger than the oldest validation sample ({moment(oldest)}) "
            "or shared with validation.",
            evidence_rows(mixed.sort_values("known_at", ascending=False, kind="stable")),
            len(mixed) / len(learned),
            "share of training and validation samples",
            "Let validation follow training in time.",
        )
    return Finding(
        "S5",
        "pass",
        _ORDER_TITLE,
        f"All {len(learned)} training and validation samples are older than the first test decision ({moment(first)}) "
        f"and none of {len(parts['test'])} test articles is among them.",
        effect=0.0,
        unit="share of training and validation samples",
    )


def _intervals(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    require_columns(frame, ("article_id", "starts_at", "ends_at"), where=f"{part} samples")
    block = frame[["article_id", "starts_at", "ends_at"]].assign(part=part)
    for name in ("starts_at", "ends_at"):
        block[name] = as_utc(frame[name], what=f"{part} samples, column {name}")
    return block
