"""The card of a model that was tuned to answer, written from the manifest beside it and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embargo.models.bundles.card import code, instant, pairs, plain, table
from embargo.models.instruct.templates import TASKS
from embargo.models.methods.cards import METHODS

# Settings of the loss of classes, which no answer has.
_OF_CLASSES = ("class_weights", "gamma", "loss")
_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def answer_card(manifest: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    manifest : mapping
        ``name, seed``; ``base`` and ``model`` (as `embargo.models.instruct.bundle` writes them); ``adapter_identity``;
        ``templates`` (``name, version, hash``); ``data`` (``source, left_out, split`` and for each part ``articles,
        exchanges`` and, where there are any, ``first, last``); ``metrics`` (None, or ``n, articles, level, table`` and
        ``compared``, the rows of `embargo.models.evaluation.generation_table` and ``compare_generations``, ``encoder``
        and ``known_before``, the articles that the base may have read); ``refusals`` (as
        `embargo.models.evaluation.refusals.RefusalChange` writes it); ``versions``.
    """
    sections = (
        _head(manifest),
        _limits(manifest),
        _method(manifest),
        _data(manifest),
        _metrics(manifest),
        _refusals(manifest["refusals"]),
        _use(manifest),
    )
    versions = table(("package", "version"), list(manifest["versions"].items()))
    return "\n\n".join((*sections, f"## Versions\n\nSeed {manifest['seed']}.\n\n{versions}")) + "\n"


def _head(manifest: Mapping[str, Any]) -> str:
    model, base = manifest["model"], manifest["base"]
    method = METHODS[model["settings"]["method"]]
    templates = manifest["templates"]
    rows = {
        "What it does": "answers in words: tone and facts of a text, its rest, its headline, questions about it",
        "Base": code(base["name"]),
        "Base weights": code(base["weights_hash"]),
        "Base knows until": instant(base["knowledge_cutoff"]),
        "Method": f"{method.name}: {method.title} ({method.paper})",
        "Templates": f"{templates['name']}, version {templates['version']} ({code(templates['hash'][:16])})",
        "Trained until": instant(model["trained_until"]),
        "**Knowledge cutoff**": f"**{instant(model['knowledge_cutoff'])}**",
        "Adapter": code(manifest["adapter_identity"]),
    }
    return f"# {manifest['name']}\n\n{pairs(rows)}"


def _limits(manifest: Mapping[str, Any]) -> str:
    cutoff = manifest["model"]["knowledge_cutoff"]
    past = (
        "**No backtest.** It is not known what the weights know, so any period may be contaminated."
        if cutoff is None
        else f"**No backtest on texts known by {instant(cutoff)}.** The weights may know what happened next."
    )
    points = [
        past,
        "**No figure from it without the text beside it.** It can write numbers that no text states: see below.",
        "**No judgement on its own training or validation articles.** `embargo evaluate` leaves them out.",
        "**No trading by itself.** What it writes is a reading of a text, not a forecast of a price.",
        "The licences of the base and of the articles bind whoever uses the weights.",
    ]
    return "## What it must not be used for\n\n" + "\n".join(f"- {point}" for point in points)


def _method(manifest: Mapping[str, Any]) -> str:
    model = manifest["model"]
    lines = ["## Tuning", "", "The loss is that of the answers' tokens alone; each task has its weight of it.", ""]
    settings = [(name, plain(value)) for name, value in model["settings"].items() if name not in _OF_CLASSES]
    lines.append(table(("setting", "value"), settings))
    rows = [
        (
            f"{epoch['epoch']:g}" + (" (kept)" if epoch["epoch"] == model["best_epoch"] else ""),
            f"{epoch['train_loss']:.4f}",
            f"{epoch['validation_loss']:.4f}",
        )
        for epoch in model["epochs"]
    ]
    lines += ["", table(("pass", "training loss (nats a token)", "validation loss"), rows)]
    for event in model["events"]:
        lines += ["", f"In pass {event['epoch']}: {event['what']}."]
    return "\n".join(lines)


def _data(manifest: Mapping[str, Any]) -> str:
    data, weights = manifest["data"], manifest["model"]["weights"]
    rows = []
    for task in TASKS:
        counts = [sum(n for ask, n in data[part]["exchanges"].items() if ask.startswith(f"{task}/")) for part in _PARTS]
        rows.append((task, f"{weights[task]:g}", *(f"{count:,}" for count in counts)))
    lines = ["## Data", "", f"Articles: {data['source']}.", "", table(("task", "weight", *_PARTS.values()), rows), ""]
    parts = []
    for key, name in _PARTS.items():
        part = data[key]
        dates = f"{instant(part['first'])} to {instant(part['last'])}" if part.get("first") else "none"
        parts.append((name, f"{part['articles']:,}", dates))
    lines.append(table(("part", "articles", "known"), parts))
    left_out = [f"{name.replace('_', ' ')} {n:,}" for name, n in data["left_out"].items() if n]
    if left_out:
        lines += ["", f"Left out: {', '.join(left_out)}."]
    lines += ["", f"Nothing known after {instant(manifest['model']['trained_until'])} was trained on or stopped by."]
    return "\n".join(lines)


def _metrics(manifest: Mapping[str, Any]) -> str:
    report = manifest["metrics"]
    if report is None:
        return "## How good it is\n\nNothing was held out: how good it is on new articles is unknown."
    rows = [
        (
            row["measure"],
            figure(row["tuned"]),
            figure(row["base"]),
            _with_ends(row["difference"], row["low"], row["high"]),
            figure(row["p_value_holm"]),
            f"{row['n']:,}",
        )
        for row in report["compared"]
    ]
    heads = ("measure", "tuned", "base", f"difference ({100 * report['level']:g} % interval)", "p (Holm)", "answers")
    notes = [
        (
            f"On {report['n']:,} prompts about {report['articles']:,} articles known later, in wordings that were not "
            "trained on. Answer loss is in nats a token and BLEU of 100, all else are shares; numbers invented and "
            "answer loss are better when lower. Articles are resampled whole."
        ),
    ]
    if report["encoder"]:
        notes.append(f"Matched tokens and similarity are those of {code(report['encoder'])}.")
    if report["known_before"]:
        notes.append(
            f"{report['known_before']:,} of these articles were known by the base's cutoff: it may have read them."
        )
    return "\n\n".join(("## How good it is", table(heads, rows), *notes))


def _refusals(found: Mapping[str, Any]) -> str:
    before, after = found["before"], found["after"]
    rows = [
        (name, *(_share(one, kind) for one in (after, before)))
        for name, kind in (("that should be declined", ""), ("alike, but harmless", "harmless_"))
    ]
    notes = (
        (
            f"Share of {after['n']} built-in requests of each sort that the model would decline: openings that refuse "
            "are likelier than openings that comply. Nothing is generated."
        ),
        (
            f"Of what should be declined, the base alone declines {found['given_up']} and the tuned model alone "
            f"{found['taken_up']} (two-sided p {figure(found['p_value'])}, McNemar). So few requests tell large "
            "changes alone; that none is found is no proof of safety."
        ),
    )
    interval = f"({100 * after['level']:g} % interval)"
    return "\n\n".join(
        ("## What it refuses", table(("requests", f"tuned {interval}", f"base {interval}"), rows), *notes)
    )


def _share(found: Mapping[str, Any], kind: str) -> str:
    rate, low, high = (100 * found[f"{kind}{name}"] for name in ("rate", "low", "high"))
    return f"{rate:.0f} % ({low:.0f} to {high:.0f} %)"


def _with_ends(value: float | None, low: float | None, high: float | None) -> str:
    return figure(value) if value is None else f"{figure(value)} ({figure(low)} to {figure(high)})"


def figure(value: float | None) -> str:
    """Write a figure with three digits; an undefined one is a word."""
    return "undefined" if value is None or value != value else f"{value:z.3f}"


def _use(manifest: Mapping[str, Any]) -> str:
    return "\n".join(
        (
            "## How to use it",
            "",
            "```sh",
            "embargo evaluate FOLDER articles.parquet",
            "embargo export FOLDER --merge --out MERGED",
            "```",
            "",
            'A merged folder is a plain decoder: `model.kind = "prompted"` reads with it as `model.base`, with this',
            f"`model.knowledge_cutoff`: {instant(manifest['model']['knowledge_cutoff'])}.",
        )
    )
