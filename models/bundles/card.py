"""The model card: what a tuned model is, what it was made from, how good it is, and what it must not be used for.

A card is written from the manifest beside it and from nothing else, so that the two cannot disagree. What is not known
is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from embargo.data_loaders.fields import CLASSES
from embargo.models.methods.cards import METHODS

UNKNOWN = "unknown"
_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def model_card(manifest: Mapping[str, Any]) -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    manifest : mapping
        ``name``; ``base`` (``name, kind, revision, weights_hash, knowledge_cutoff, source, evidence, exposures``);
        ``model`` (as `embargo.models.fitting.fit_scorer` writes it); ``adapter_identity``; ``calibration``; ``data``
        (``source``; ``left_out``, rows by reason; and, for each of ``train, validation, test``: ``n, fingerprint,
        classes`` and, where dated, ``first, last``);
        ``metrics`` (for ``validation`` and ``test``: a `embargo.models.evaluation.classification.classification_report`
        with its ``level``, an ``_interval`` for each of ``ece, adaptive_ece, brier``, the same without calibration
        under ``before``, and ``left_out``, the texts not judged; None where there is no such part); ``fold`` (None, or
        ``index, of, test_start, test_end``); ``bias`` (as `embargo.models.evaluation.bias.Bias` writes it);
        ``seed``; ``versions``.
    """
    sections = (
        _head(manifest),
        _limits(manifest),
        _base(manifest["base"]),
        _method(manifest["model"]),
        _data(manifest),
        _metrics(manifest),
        _calibration(manifest),
        *_bias(manifest.get("bias")),
        _use(manifest),
        _versions(manifest),
    )
    return "\n\n".join(sections) + "\n"


def _head(manifest: Mapping[str, Any]) -> str:
    model, base, fold = manifest["model"], manifest["base"], manifest.get("fold")
    card = METHODS[model["settings"]["method"]]
    rows = {
        "What it does": "reads a financial text and gives the probabilities that it is bearish, neutral, bullish",
        "Base": code(base["name"]),
        "Method": f"{card.name}: {card.title}" + (f" ({card.paper})" if card.paper else ""),
        "Head": _start(model.get("head")),
        "Trained until": instant(model["trained_until"]),
        "**Knowledge cutoff**": f"**{instant(model['knowledge_cutoff'])}**",
        "Adapter": code(manifest["adapter_identity"]),
        "Model id in scores": code(model["model_id"]),
    }
    if fold is not None:
        rows["Fold"] = (
            f"{fold['index'] + 1} of {fold['of']}: made to read news from {instant(fold['test_start'])} to "
            f"{instant(fold['test_end'])}"
        )
    return f"# {manifest['name']}\n\n{pairs(rows)}"


def _start(head: Mapping[str, Any] | None) -> str:
    if head is None:
        return "drawn fresh: the base brings none of three classes"
    called = ", ".join(head["labels"]) or "nothing"
    return {
        "own": f"the base's own, its rows ({called}) in the order bearish, neutral, bullish already",
        "permuted": f"the base's own, its rows ({called}) put into the order bearish, neutral, bullish",
        "fresh": f"drawn fresh: the rows of the base's own are called {called}, which does not say what they mean",
    }[head["start"]]


def _limits(manifest: Mapping[str, Any]) -> str:
    model, base = manifest["model"], manifest["base"]
    cutoff = model["knowledge_cutoff"]
    if cutoff is None:
        past = (
            "**No backtest.** It is not known what the weights know, so any period may be contaminated: the model may "
            "have read what happened next. Only texts that are published after today are safe."
        )
    else:
        past = (
            f"**No backtest on texts known by {instant(cutoff)}.** The weights may know what happened next: such a "
            "period is contaminated, and a profit in it proves nothing."
        )
    points = [
        past,
        "**No judgement on its own training or validation texts.** `embargo evaluate` leaves them out by their hashes.",
        f"**No texts that need more than {model['settings']['max_length']} tokens:** what comes after is not read.",
        "**No texts unlike those it was tuned on** (language, length, source, kind of asset) without measuring first.",
        "**No trading by itself.** A class is a reading of a text, not a forecast of a price.",
        "The licences of the base and of the labelled texts bind whoever uses the weights.",
    ]
    if base["exposures"]:
        sets = ", ".join(base["exposures"])
        points.insert(2, f"**No evaluation on {sets}:** the base was tuned on it by its publisher.")
    return "## What it must not be used for\n\n" + "\n".join(f"- {point}" for point in points)


def _base(base: Mapping[str, Any]) -> str:
    evidence = {
        "documented": "documented by its publisher",
        "release": "its date of publication, an upper bound",
        "declared": "declared by whoever tuned it; not checked",
        "made from dated texts": "made here from dated texts alone",
        "none": "none",
    }
    rows = {
        "Name": code(base["name"]),
        "Kind": base["kind"],
        "Revision": code(base["revision"]) if base["revision"] else "none (not from the hub)",
        "Weights": code(base["weights_hash"]),
        "Knowledge cutoff": instant(base["knowledge_cutoff"]),
        "Evidence": evidence.get(base["evidence"], base["evidence"]),
        "Source": base["source"],
        "Labelled sets it was tuned on before": ", ".join(base["exposures"]) or "none known",
    }
    return f"## Base\n\n{pairs(rows)}"


def _method(model: Mapping[str, Any]) -> str:
    lines = ["## Tuning", "", table(("setting", "value"), [(k, plain(v)) for k, v in model["settings"].items()])]
    if model["epochs"]:
        rows = [
            (
                f"{epoch['epoch']:g}" + (" (kept)" if epoch["epoch"] == model["best_epoch"] else ""),
                f"{epoch['train_loss']:.4f}",
                f"{epoch['validation_loss']:.4f}",
            )
            for epoch in model["epochs"]
        ]
        heads = ("pass", "training loss (nats)", "validation loss (nats, after the best temperature)")
        lines += ["", table(heads, rows)]
    for event in model.get("events", ()):
        lines += ["", f"In pass {event['epoch']}: {event['what']}."]
    return "\n".join(lines)


def _data(manifest: Mapping[str, Any]) -> str:
    data = manifest["data"]
    rows = []
    for key, name in _PARTS.items():
        part = data.get(key)
        if part is None:
            continue
        counts = " / ".join(f"{part['classes'][label]:,}" for label in CLASSES)
        dates = f"{instant(part['first'])} to {instant(part['last'])}" if part.get("first") else "undated"
        rows.append((name, f"{part['n']:,}", counts, dates, code(part["fingerprint"][:16])))
    heads = ("part", "samples", " / ".join(CLASSES), "known", "fingerprint")
    lines = ["## Data", "", f"Labels: {data['source']}.", "", table(heads, rows)]
    left_out = [f"{name.replace('_', ' ')} {n:,}" for name, n in data.get("left_out", {}).items()]
    if left_out:
        lines += ["", f"Left out: {', '.join(left_out)}."]
    lines += ["", f"Nothing known after {instant(manifest['model']['trained_until'])} was trained or calibrated on."]
    return "\n".join(lines)


def _metrics(manifest: Mapping[str, Any]) -> str:
    blocks = ["## How good it is"]
    notes = {
        "test": "Held out: neither trained, stopped nor calibrated on.",
        "validation": "The training was stopped and the calibration fitted on this part: its figures flatter.",
    }
    for key in ("test", "validation"):
        report = manifest["metrics"].get(key)
        blocks.append(f"### {_PARTS[key].capitalize()} part")
        if report is None:
            blocks.append("None was held out: how good the model is on new texts is unknown.")
            continue
        left = report.get("left_out", 0)
        blocks.append(notes[key] + (f" {left:,} texts that it was tuned on were left out." if left else ""))
        if key == "test":
            blocks.append(_what_the_base_may_have_read(manifest))
        blocks.append(_report(report))
    return "\n\n".join(block for block in blocks if block)


def _what_the_base_may_have_read(manifest: Mapping[str, Any]) -> str:
    cutoff, first = manifest["model"]["knowledge_cutoff"], (manifest["data"].get("test") or {}).get("first")
    if cutoff is None:
        return "What the weights know is unknown: the base may have read any of these texts."
    if first is None:
        return "These texts are undated: whether the base has read them cannot be told."
    if datetime.fromisoformat(first) <= datetime.fromisoformat(cutoff):
        return "These texts begin before the knowledge cutoff: the base may have read some of them."
    return ""


def _report(report: Mapping[str, Any]) -> str:
    names = {"accuracy": "accuracy", "macro_f1": "macro-F1", "weighted_f1": "weighted F1", "mcc": "Matthews"}
    level = f"{100 * report.get('level', 0.95):g} % interval"
    rows = [(names[key], _figure(report[key]), _interval(report[f"{key}_interval"])) for key in names]
    rows.append(("AUC, macro", _figure(report["auc"]["macro"]), _interval(report["auc_interval"]["macro"])))
    rows.append(("always the commonest class", _figure(report["majority"]["accuracy"]), ""))
    headline = table((f"{report['n']:,} texts", "value", level), rows)
    figures = ("precision", "recall", "f1")
    classes = [
        (
            label,
            *(
                f"{_figure(report['classes'][label][name])} ({_interval(report['class_intervals'][label][name])})"
                for name in figures
            ),
            f"{report['classes'][label]['support']:,}",
        )
        for label in CLASSES
    ]
    confusion = [
        (f"**{label}**", *(f"{cell:,}" for cell in row))
        for label, row in zip(CLASSES, report["confusion"], strict=True)
    ]
    return "\n\n".join(
        (
            headline,
            table(("class", "precision", "recall", "F1", "texts"), classes),
            table(("true \\ read as", *CLASSES), confusion),
        )
    )


def _calibration(manifest: Mapping[str, Any]) -> str:
    calibration = manifest["calibration"]
    how = {
        "temperature": f"temperature {calibration.get('temperature', 1.0):.4g}",
        "vector": "vector scaling",
        "isotonic": "isotonic regression",
    }[calibration["method"]]
    rows = []
    for key in ("test", "validation"):
        report = manifest["metrics"].get(key)
        if report is None:
            continue
        for figure, name in (("ece", "ECE"), ("adaptive_ece", "adaptive ECE"), ("brier", "Brier score")):
            told = [
                f"{_figure(one[figure])} ({_interval(one[f'{figure}_interval'])})" for one in (report["before"], report)
            ]
            rows.append((f"{name}, {_PARTS[key]}", *told))
    return "\n\n".join(
        (
            "## Calibration",
            f"By {how}, fitted on the validation part. 0 is perfect for each figure; the Brier score runs to 2.",
            table(("", "before", "after"), rows),
        )
    )


def _bias(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:  # folders from before it was measured have none
        return []
    if found["untold"]:
        said = f"Not told: this reader tells none of the {len(found['groups'])} pairs apart at all. It gives the same "
        said += "numbers whoever a built-in sentence is about, as one does that does not know these names or sentences."
        return [f"## Bias\n\n{said}"]
    level = f"{100 * found['level']:g} % interval"
    rows = [
        (
            f"{row['attribute']}: {row['group']} against {row['reference']}",
            f"{row['difference']:+.3f}",
            f"{row['low']:+.3f} to {row['high']:+.3f}",
            UNKNOWN if row["effect"] is None else f"{row['effect']:+.2f}",
            f"{100 * row['class_changed']:.0f} %",
            f"{row['p_value_holm']:.3f}",
        )
        for row in found["groups"]
    ]
    heads = (
        "the same sentence about",
        "score moves by",
        level,
        "in standard deviations",
        "class changed",
        "p, adjusted",
    )
    said = (
        f"Scores move with {', '.join(found['found'])}: pairs of sentences that differ in nothing else are read apart."
        if found["found"]
        else "No group is read apart from its reference beyond chance; that is no proof that none is."
    )
    means = (
        "Bullish less bearish probability of the same built-in sentences about others. p is two-sided and adjusted for "
        f"the {len(rows)} comparisons (Holm)."
    )
    return [f"## Bias\n\n{said} {means}\n\n{table(heads, rows)}"]


def _use(manifest: Mapping[str, Any]) -> str:
    return "\n".join(
        (
            "## How to load it",
            "",
            "```sh",
            "embargo evaluate FOLDER labelled.csv",
            "embargo score FOLDER news.parquet --out scores.parquet",
            "```",
            "",
            "```python",
            "from pathlib import Path",
            "from embargo.models.bundles import bundle_reader, open_bundle",
            "",
            'reader = bundle_reader(open_bundle(Path("FOLDER")), cache_dir=Path("cache"))',
            'reader.calibration.apply(reader.scorer.logits(["Profit rose."]))  # bearish, neutral, bullish',
            "```",
            "",
            "`adapter/` holds what peft reads. The base must have the weights named above.",
        )
    )


def _versions(manifest: Mapping[str, Any]) -> str:
    rows = [(name, version) for name, version in manifest["versions"].items()]
    return f"## Versions\n\nSeed {manifest['seed']}.\n\n{table(('package', 'version'), rows)}"


def pairs(rows: Mapping[str, Any]) -> str:
    """Return a Markdown table of names and values."""
    return table(("", ""), list(rows.items()))


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    # A bar would end the cell, a line break the row.
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def plain(value: Any) -> str:
    """Write a setting's value."""
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value}"


def code(text: Any) -> str:
    """Set in the type of code."""
    return f"`{text}`"


def instant(iso: str | None) -> str:
    """Write an instant to the minute; one that is not known is a word."""
    return UNKNOWN if iso is None else f"{iso[:16].replace('T', ' ')} UTC"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float] | None) -> str:
    return "undefined" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
