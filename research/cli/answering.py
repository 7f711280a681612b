"""What the commands on models do with those that were tuned to answer: tune, evaluate and export them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from embargo.data_loaders.errors import ConfigError
from embargo.research.cli.terminal import complaints, console
from embargo.research.progress import escaped

MISSING = "–"


def answers(model: Path) -> bool:
    """Tell whether a folder holds a model that was tuned to answer; nothing else of it is looked at."""
    from embargo.models.bundles.bundle import INSTRUCT, kind_of

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
    _tell(judged.left_out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        write_json(json_file, {"name": judged.name, **judged.report, "left_out": judged.left_out})
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
    size = f"{report['n']:,} prompts about {report['articles']:,} later articles"
    console.print(f"{size}, {100 * report['level']:g} % intervals, articles resampled whole", highlight=False)
    table = _table("measure", "tuned", "base", "difference", "p (Holm)", "answers")
    spread = {row["measure"]: row for row in report["table"]}
    for row in report["compared"]:
        one = spread[row["measure"]]
        table.add_row(
            escaped(row["measure"]) + (" (lower is better)" if row["better"] == "lower" else ""),
            _spread(one["value"], one["low"], one["high"]),
            _number(row["base"]),
            _spread(row["difference"], row["low"], row["high"]),
            _number(row["p_value_holm"]),
            f"{row['n']:,}",
        )
    console.print(table)
    tasks = _table("task", "prompts", "exact", "ROUGE-L", "numbers right", "invented", "answer loss")
    for task, figures in report["by_task"].items():
        names = ("exact", "ROUGE-L", "numbers right", "numbers invented", "answer loss")
        pairs = [f"{_number(figures[name][0])} / {_number(figures[name][1])}" for name in names]
        tasks.add_row(task, f"{figures['n']:,}", *pairs)
    console.print("By task, tuned / base:", highlight=False)
    console.print(tasks)
    if report["encoder"]:
        console.print(f"Matched tokens and similarity by {escaped(report['encoder'])}.", highlight=False)
    if report["known_before"]:
        console.print(
            f"[yellow]{report['known_before']:,} of these articles were known by the base's cutoff: it may have read "
            "them.[/]",
            highlight=False,
            soft_wrap=True,
        )


def _planned(counts: Mapping[str, Mapping[str, int]], weights: Mapping[str, float]) -> Table:
    table = _table("task", "asked", "weight", *counts)
    asked = sorted({ask for part in counts.values() for ask in part if "/" in ask})
    for ask in asked:
        task, _, what = ask.partition("/")
        table.add_row(task, what, f"{weights[task]:g}", *(f"{part.get(ask, 0):,}" for part in counts.values()))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        words = place == 0 or heading == "asked"
        table.add_column(heading, justify="left" if words else "right", no_wrap=place > 0)
    return table


def _tell(counts: Mapping[str, int]) -> None:
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items() if n)
    if told:
        console.print(f"Left out: {escaped(told)}", soft_wrap=True, highlight=False)


def _spread(value: float | None, low: float | None, high: float | None) -> str:
    return MISSING if value is None else f"{_number(value)} ({_number(low)}–{_number(high)})"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"
