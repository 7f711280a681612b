"""What the commands on models do with those that were tuned to answer: tune, evaluate and export them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.terminal import complaints, console, numbered
from embargo.research.pages import formats
from embargo.research.pages.tables import terminal_table
from embargo.research.progress import escaped


def answers(model: Path) -> bool:
    """Tell whether a folder holds a model that was tuned to answer; nothing else of it is looked at."""
    from embargo.models.bundles.tuned_folder import INSTRUCT, kind_of

    return kind_of(model) == INSTRUCT


def refuse(model: Path, **options: Any) -> None:
    """Refuse options that such a model has no use for.

    Raises
    ------
    ConfigError
        Naming them.
    """
    given = [f"--{name}" for name, value in options.items() if value not in (None, False)]
    if given:
        raise ConfigError(f"{model}: was tuned to answer; {', '.join(given)} cannot be had of it. Leave it out.")


def tune(
    config: Path, overrides: list[str] | None, *, env: Collection[str], out: Path, cache: Path, explain: bool
) -> None:
    """Tune, or show what would be tuned on."""
    from embargo.research.modelling.instructing import load_instruct, plan_instruct, tune_instruct
    from embargo.research.progress import shown

    settings = load_instruct(config, overrides, env=env)
    tuned = None
    with shown(complaints) as stages:
        plan = plan_instruct(settings, stages)
        if not explain:
            tuned = tune_instruct(plan, out=out, cache=cache, stages=stages)
    if explain:
        console.print(_planned(plan.counts, settings.weights.model_dump()))
        _tell(plan.left_out)
        return
    if tuned is None:
        return
    bundle, was_there = tuned
    console.print(
        Text.assemble((bundle.path.name, "bold"), " (was there)" if was_there else ""), highlight=False, soft_wrap=True
    )
    if bundle.manifest["metrics"] is None:
        console.print("No article was held out: how good it is on new ones is unknown.", highlight=False)
    else:
        print_answers(bundle.manifest["metrics"])
    print_refusals(bundle.manifest["refusals"])
    _tell(bundle.manifest["data"]["left_out"])
    console.print(f"Model card: {bundle.path / 'README.md'}", soft_wrap=True, highlight=False, markup=False)


def evaluate(
    model: Path, data: Path, *, cache: Path, base: Path | None, seed: int, level: float, json_file: Path | None
) -> None:
    """Judge on articles of a file, against the base untuned."""
    from embargo.research.modelling.instructing import judge_answers
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json

    with shown(complaints) as stages:
        judged = judge_answers(model, data, cache=cache, base=base, seed=seed, level=level, stages=stages)
    console.print(Text(judged.name, style="bold"), highlight=False, soft_wrap=True)
    print_answers(judged.report)
    print_refusals(judged.refusals.to_dict())
    _tell(judged.left_out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        write_json(json_file, judged.to_dict())
        console.print(f"Figures: {json_file}", soft_wrap=True, highlight=False, markup=False)


def export(model: Path, out: Path | None, *, cache: Path, base: Path | None) -> None:
    """Write the model as one plain decoder."""
    from embargo.models.instruct.bundle import base_of_answers, open_answer_bundle
    from embargo.models.instruct.merging import merge_answers

    bundle = open_answer_bundle(model)
    target = out if out is not None else model.resolve().parent / f"{bundle.path.name}-merged"
    merged = merge_answers(base_of_answers(bundle, cache_dir=cache, given=base), bundle.adapter, target)
    proof, cutoff = merged.manifest["proof"], merged.manifest["knowledge_cutoff"]
    console.print(
        f"Merged as tuned: over {proof['n']} texts no logit moves by more than {merged.max_dlogit:.1e} (allowed "
        f"{proof['tolerance']:g}).",
        highlight=False,
    )
    console.print(f"Model: {target}", soft_wrap=True, highlight=False, markup=False)
    console.print("To read with it:", highlight=False)
    lines = ['model.kind = "prompted"', f'model.base = "{target}"']
    # An unknown cutoff stays unknown: nobody can declare one for it.
    lines += [] if cutoff is None else [f'model.knowledge_cutoff = "{cutoff}"']
    for line in lines:
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)


def print_answers(report: Mapping[str, Any]) -> None:
    """Print how what was written compares with what the base writes; text from outside is never markup."""
    from embargo.models.instruct.templates import TASKS

    size = f"{numbered(report['n'], 'prompt')} about {numbered(report['articles'], 'later article')}"
    console.print(
        f"{size}, {100 * report['level']:g} % intervals, articles resampled whole. Answer loss is in nats a token, "
        "BLEU of 100, all else are shares.",
        highlight=False,
        soft_wrap=True,
    )
    table = terminal_table(["measure"], ["tuned", "base", "difference", "p (Holm)", "answers"])
    spread = {row["measure"]: row for row in report["table"]}
    for row in report["compared"]:
        one = spread[row["measure"]]
        table.add_row(
            escaped(row["measure"]) + (" (lower is better)" if row["better"] == "lower" else ""),
            _spread(one["value"], one["low"], one["high"]),
            formats.coefficient(row["base"]),
            _spread(row["difference"], row["low"], row["high"]),
            formats.probability(row["p_value_holm"]),
            formats.count(row["n"]),
        )
    console.print(table)
    tasks = terminal_table(
        ["task (tuned / base)"], ["prompts", "exact", "ROUGE-L", "numbers right", "numbers invented", "answer loss"]
    )
    by_task = {task: report["by_task"][task] for task in TASKS if task in report["by_task"]}
    for task, figures in by_task.items():
        names = ("exact", "ROUGE-L", "numbers right", "numbers invented", "answer loss")
        tasks.add_row(task, formats.count(figures["n"]), *(_pair(figures[name]) for name in names))
    console.print(tasks)
    if report["encoder"]:
        console.print(f"Matched tokens and similarity by {escaped(report['encoder'])}.", highlight=False)
    if report["known_before"]:
        console.print(
            f"[yellow]The base may have read them before: {numbered(report['known_before'], 'article')} of these, "
            "known by its cutoff.[/]",
            highlight=False,
            soft_wrap=True,
        )


def print_refusals(found: Mapping[str, Any]) -> None:
    """Print how often the model and its base would decline; never what was asked, nor any answer."""
    before, after = found["before"], found["after"]
    table = terminal_table(["would decline"], ["tuned", "base"])
    for name, kind in (("what should be declined", ""), ("what is like it, but harmless", "harmless_")):
        table.add_row(name, *(_declined(one, kind) for one in (after, before)))
    console.print(table)
    console.print(
        f"Of {numbered(after['n'], 'request')} of each sort. What should be declined, the base alone declines "
        f"{found['given_up']} times and the tuned model alone {found['taken_up']} times "
        f"({formats.p_value(found['p_value'])}).",
        highlight=False,
        soft_wrap=True,
    )


def _planned(counts: Mapping[str, Mapping[str, int]], weights: Mapping[str, float]) -> Table:
    table = terminal_table(["task", "asked"], ["weight", *counts])
    for ask in sorted({ask for part in counts.values() for ask in part if "/" in ask}):
        task, _, what = ask.partition("/")
        numbers = (formats.count(part.get(ask, 0)) for part in counts.values())
        table.add_row(task, what, formats.number(weights[task]), *numbers)
    return table


def _tell(counts: Mapping[str, int]) -> None:
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items() if n)
    if told:
        console.print(f"Left out: {escaped(told)}", soft_wrap=True, highlight=False)


def _spread(value: float | None, low: float | None, high: float | None) -> str:
    return formats.around(value, None if value is None else (low, high), "coefficient")


def _pair(figures: Sequence[float | None]) -> str:
    """Return the figures of tuned model and base; one dash where neither has any."""
    if all(one is None for one in figures):
        return formats.MISSING
    return " / ".join(formats.coefficient(one) for one in figures)


def _declined(found: Mapping[str, Any], kind: str) -> str:
    rate, low, high = (found[f"{kind}{name}"] for name in ("rate", "low", "high"))
    return formats.around(rate, (low, high), "percent")
