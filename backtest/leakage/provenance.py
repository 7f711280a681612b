"""What a model may know: the cutoff of its base and the manifest of its adapter, held against the test period."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from embargo.backtest.leakage.findings import EVIDENCE_ROWS, Finding, aware_instant, length, moment, plain
from embargo.data_loaders.errors import ConfigError, DataError

_BASE_TITLE = "The base model is older than the test period"
_ADAPTER_TITLE = "The model learned nothing from the test period"
_LEARNED_UNTIL = ("trained_until", "calibrated_until")


def check_base_cutoff(
    base_name: str,
    knowledge_cutoff: pd.Timestamp | None,
    test_start: pd.Timestamp,
    test_end: pd.Timestamp,
    source: str,
) -> Finding:
    """Hold the knowledge cutoff of the base model against the test period (M1).

    An unknown cutoff, or one at or after the first test instant, is suspicious: the base may remember what happened
    (Sarkar and Vafa 2024; Glasserman and Lin 2023). It is not proof that it does.

    Silent on: a declared cutoff that is earlier than the true one (M2).

    Parameters
    ----------
    base_name : str
        Name of the base model.
    knowledge_cutoff : Timestamp or None
        Latest instant (UTC) its pretraining could know; None where nobody says.
    test_start, test_end : Timestamp
        Test period (UTC), half-open.
    source : str
        Where the cutoff is stated.

    Returns
    -------
    Finding with code ``M1``; ``effect`` is the share of the test period before the cutoff (None when unknown).

    Raises
    ------
    DataError
        If an instant is naive.
    ConfigError
        If the test period is empty.
    """
    start = aware_instant(test_start, what="base cutoff, test_start")
    end = aware_instant(test_end, what="base cutoff, test_end")
    if end <= start:
        raise ConfigError(f"base cutoff: the test period from {start} to {end} is empty.")
    said = f"source: {source}" if source.strip() else "no source is given for it"
    unit = "share of the test period"
    remedy = "Use a base with a cutoff before the test, test on later news, or report both sides of the cutoff apart."
    if knowledge_cutoff is None or pd.isna(knowledge_cutoff):
        return Finding(
            "M1",
            "suspicious",
            _BASE_TITLE,
            f"The base model may remember this period: nobody says until when the data of {base_name!r} reach "
            f"({said}), and the test runs from {moment(start)} to {moment(end)}.",
            [{"base": base_name, "knowledge_cutoff": None, "test_start": plain(start), "test_end": plain(end)}],
            None,
            unit,
            remedy,
        )
    cutoff = aware_instant(knowledge_cutoff, what=f"knowledge cutoff of {base_name}")
    row = {"base": base_name, "knowledge_cutoff": plain(cutoff), "test_start": plain(start), "test_end": plain(end)}
    if cutoff >= start:
        share = min(1.0, (cutoff - start) / (end - start))
        return Finding(
            "M1",
            "suspicious",
            _BASE_TITLE,
            f"The base model may remember this period: {base_name!r} knows text until {moment(cutoff)} ({said}), so "
            f"{share:.0%} of the test ({moment(start)} to {moment(end)}) lies inside what it was trained on.",
            [row],
            share,
            unit,
            remedy,
        )
    return Finding(
        "M1",
        "pass",
        _BASE_TITLE,
        f"{base_name!r} knows nothing after {moment(cutoff)} ({said}), {length(start - cutoff)} before the test.",
        [row],
        0.0,
        unit,
    )


def check_adapter_manifest(
    manifest: Mapping[str, Any],
    test_start: pd.Timestamp,
    train_text_keys: Collection[str],
    test_text_keys: Collection[str],
    *,
    recurring: float = 0.0,
) -> Finding:
    """Hold the manifest of a fitted model against the start of the test (M11).

    ``trained_until`` or ``calibrated_until`` at or after ``test_start`` is a leak, and so is a training text among
    those of the test. Without ``trained_until``, or without the keys of what was trained on, nothing is proven.

    Parameters
    ----------
    manifest : mapping
        ``trained_until`` and, where something was fitted on validation, ``calibrated_until``: ISO text with an offset
        or aware instants.
    test_start : Timestamp
        First instant (UTC) of the test.
    train_text_keys, test_text_keys : collection of str
        Hashes of the articles trained on and tested on, made the same way for both. Hash text and instant together
        (``article_keys``): then the same phrase at another time is no overlap.
    recurring : float
        Share of distinct test keys in [0, 1) that may recur; more than 0 only for keys of bare texts, where a source
        repeats its own phrases.

    Returns
    -------
    Finding with code ``M11``; ``effect`` is the share of distinct test keys that were trained on.

    Raises
    ------
    DataError
        If ``test_start`` is naive.
    ConfigError
        If ``recurring`` is outside [0, 1).
    """
    if not 0.0 <= recurring < 1.0:
        raise ConfigError(f"adapter manifest: recurring must lie in [0, 1), got {recurring}.")
    start = aware_instant(test_start, what="adapter manifest, test_start")
    unit = "share of distinct test texts"
    remedy = "Fit the model again on what was known before the test, or test from a later date."
    tested = set(test_text_keys)
    common = sorted(set(train_text_keys) & tested)
    share = len(common) / len(tested) if tested else 0.0
    faults, gaps, evidence = [], [], []
    for name in _LEARNED_UNTIL:
        value = manifest.get(name)
        if value is None:
            if name == "trained_until":
                gaps.append("the manifest does not say until when the model was trained")
            continue
        try:
            until = aware_instant(value, what=f"manifest, {name}")
        except DataError as unreadable:
            gaps.append(str(unreadable))
            continue
        if until >= start:
            faults.append(
                f"{name} is {moment(until)}, {length(until - start)} into the test that begins {moment(start)}"
            )
            evidence.append({"field": name, "value": plain(until), "test_start": plain(start)})
    if share > recurring:
        faults.append(f"{len(common)} of {len(tested)} distinct test texts ({share:.2%}) are among those trained on")
        evidence += [{"text_key": key} for key in common[:EVIDENCE_ROWS]]
    if faults:
        return Finding("M11", "leak", _ADAPTER_TITLE, "; ".join(faults) + ".", evidence, share, unit, remedy)
    if not train_text_keys:
        gaps.append("it carries no hashes of the training texts")
    if not tested:
        gaps.append("there are no hashes of the test texts")
    if gaps:
        return Finding(
            "M11",
            "inconclusive",
            _ADAPTER_TITLE,
            "Nothing is proven: " + "; ".join(gaps) + ".",
            [],
            share,
            unit,
            "Write trained_until and the hashes of the training texts into the manifest when fitting.",
        )
    until = aware_instant(manifest["trained_until"], what="manifest, trained_until")
    again = f", {len(common)} recurring phrases aside" if common else ""
    return Finding(
        "M11",
        "pass",
        _ADAPTER_TITLE,
        f"Trained until {moment(until)}, {length(start - until)} before the test; none of {len(tested)} distinct test "
        f"texts was trained on{again}.",
        [],
        share,
        unit,
    )
