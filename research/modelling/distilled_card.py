"""The card of a distilled student: who taught it, on what, and what is lost and saved by asking it instead.

It is written from the manifest beside it and from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embargo.research.config.model import WITHOUT_PAST

UNKNOWN = "unknown"
ABOUT = (
    "A cheap reader that was fitted to the probabilities of another. It errs where its teacher errs, and knows what "
    "its teacher knew."
)


def distilled_card(manifest: Mapping[str, Any]) -> str:
    """Return the card as Markdown, from a manifest as `embargo.research.modelling.distilling` writes it."""
    student, teacher = manifest["student"], manifest["teacher"]
    taught, fold = student["settings"]["taught"], manifest["fold"]
    known = "undated" if taught["known_at"] is None else " to ".join(day[:10] for day in taught["known_at"])
    rows = [
        ("Student", _called(student["settings"]["student"], student)),
        ("Teacher", _called(teacher["kind"], teacher)),
        ("Taught on", f"{taught['n_texts']:,} texts ({known}), at temperature {student['settings']['temperature']:g}"),
        ("of these in-sample", f"{taught['n_in_sample']:,} texts that the teacher was itself fitted on or shown"),
        ("Not taught", f"{taught['n_withheld']:,} texts that are validated on, {taught['n_unanswered']:,} unanswered"),
        *_teaching(manifest["teaching"]),
        ("**Knowledge cutoff**", f"**{student['knowledge_cutoff'] or UNKNOWN}**, the later of both"),
        ("of the teacher", str(teacher["knowledge_cutoff"] or UNKNOWN)),
        (
            "Fold",
            f"{fold['index'] + 1} of {fold['of']}: test {fold['test_start'][:10]} to {fold['test_end'][:10]}",
        ),
    ]
    sections = [
        f"# {manifest['name']}",
        ABOUT,
        _table(("", ""), rows),
        _in_sample(taught, teacher),
        "## Agreement on the test window",
        _agreement(manifest["agreement"]),
        "## Against labels, and what reading costs",
        _both(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _teaching(account: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Say what the teacher's answers took where they were paid for, those that an earlier fold needed left out."""
    if account is None:
        return []
    took = f"{account['requests']:,} requests, {account['prompt_tokens']:,} prompt and "
    took += f"{account['completion_tokens']:,} answer tokens, at a cost of {account['cost']:.4f}"
    return [("Teaching took", f"{took}; what an earlier fold had asked is counted there")]


def _in_sample(taught: Mapping[str, Any], teacher: Mapping[str, Any]) -> str:
    """Say which of the teacher's answers are to texts that it had learnt from, and what that does."""
    own, n = taught["n_in_sample"], taught["n_texts"]
    if own:
        said = (
            f"The teacher was fitted on or shown {own:,} of the {n:,} texts that taught ({own / n:.1%}), with their "
            "labels: there it repeats in part what it was told, and is surer than of news that it has not read. What "
            "the student took over from there is no measure of either. Later news must not take their place, for it "
            "is what both are tested on."
        )
    else:
        said = f"The teacher was fitted on and shown none of the {n:,} texts that taught."
    if teacher["kind"] not in WITHOUT_PAST:
        said += " Which of them it had read before it was fitted is not known."
    return f"{said} Agreement and quality below are measured on the test window alone."


def _called(kind: str, model: Mapping[str, Any]) -> str:
    return f"{kind}" + (f" on `{model['base']}`" if model["base_weights_hash"] else "") + f" (`{model['model_id']}`)"


def _agreement(told: Mapping[str, Any]) -> str:
    units = {"share": "same class", "kappa": "Cohen's kappa", "kl": "KL divergence from the teacher (nats)"}
    rows = [(words, _figure(told[name]), _interval(told[f"{name}_interval"])) for name, words in units.items()]
    clusters = "" if told["n_groups"] is None else f", whole days of {told['n_groups']:,} resampled"
    return (
        _table(("", "", f"{told['level']:.0%} interval"), rows)
        + f"\n\nOver {told['n']:,} articles{clusters}; {told['n_unanswered']:,} more had no answer from one of them."
    )


def _both(manifest: Mapping[str, Any]) -> str:
    rows = []
    for words, name in (("accuracy", "accuracy"), ("macro-F1", "macro_f1"), ("calibration error (ECE)", "ece")):
        cells = []
        for who in ("teacher", "student"):
            judged = manifest["judged"][who]
            cells.append("–" if judged is None else f"{_figure(judged[name])} {_interval(judged[f'{name}_interval'])}")
        rows.append((words, *cells))
    for words, name in (
        ("CPU seconds per 1,000 texts", "cpu_seconds_per_1000"),
        ("requests per 1,000 texts", "requests_per_1000"),
        ("cost per 1,000 texts", "cost_per_1000"),
    ):
        values = [manifest["cost"][who][name] for who in ("teacher", "student")]
        if any(value is not None for value in values):
            rows.append((words, *(_figure(value) for value in values)))
    judged = next((each for each in manifest["judged"].values() if each is not None), None)
    counted = "No labelled test sample is left." if judged is None else f"{judged['n']:,} labelled test samples."
    return _table(("", "teacher", "student"), rows) + f"\n\n{counted} Times are of the machine that made this folder."


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"({ends[0]:.3f} to {ends[1]:.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
