"""Commands on models: ``embargo tune``, ``evaluate``, ``score``, ``models`` and ``export``.

A model is a folder: one that ``tune`` wrote, one that ``export`` wrote, or a run, of which a fold is taken. Whatever is
wrong with the arguments is said before any work.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from embargo.data_loaders.errors import ConfigError
from embargo.research.cache import cache_folder
from embargo.research.cli import archives
from embargo.research.cli.options import (
    AllowOption,
    CacheOption,
    EngineOption,
    EnvOption,
    SetOption,
    WorkersOption,
)
from embargo.research.cli.terminal import complaints, console, guarded, now, numbered, pair
from embargo.research.progress import escaped

if TYPE_CHECKING:
    from embargo.models.bundles.bundle import ModelReader
    from embargo.models.export.onnx import OnnxExport, Speed
    from embargo.research.modelling.tuning import TunePlan

TUNE_INTERRUPTED = "Finished passes are kept as checkpoints; the same command continues after the last one."
SCORE_INTERRUPTED = "No file was written; what was scored is kept, and the same command continues there."
UNTOUCHED = "Nothing was written."
MISSING = "–"


class LabelledFormat(StrEnum):
    """How a labelled file is written."""

    AUTO = "auto"
    TABLE = "table"
    SCORES = "scores"
    PHRASEBANK = "phrasebank"
    FIQA = "fiqa"
    SEMEVAL = "semeval"
    TWITTER = "twitter"


ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder, exported model, or run.")]
FoldOption = Annotated[int | None, typer.Option(min=1, help="Fold of a run, from 1. Default: the last.")]
BaseOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the base lies, if not where its name says.")
]
FormatOption = Annotated[LabelledFormat, typer.Option("--format", help="Format of the labelled file.")]
TextOption = Annotated[str, typer.Option(metavar="COLUMN", help="Column of texts in a table.")]


commands = typer.Typer()


@commands.command()
@guarded(TUNE_INTERRUPTED)
def tune(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="An experiment, or labels and model alone.", dir_okay=False)
    ],
    overrides: SetOption = None,
    env: EnvOption = None,
    allow: AllowOption = None,
    out: Annotated[Path, typer.Option(help="Folder that receives the model folders.", file_okay=False)] = Path(
        "models"
    ),
    cache: CacheOption = None,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every setting and why it is so; train nothing.")
    ] = False,
) -> None:
    """Tune a model, calibrate it, measure it and write its model card.

    The config is an experiment as for [bold]embargo run[/bold]: one model is tuned
    for each fold, and nothing is traded.

    Or it has no news, prices and split, and one model is tuned on a labelled
    file:

    name = "mine"
    labels.source = "file"
    labels.path = "labelled.csv"
    labels.knowledge_cutoff = 2014-12-31
    model.base = "minilm"
    model.method = "lora"

    With task = "instruct" a decoder is tuned to answer: tone and facts of a text,
    its rest, its headline, questions about it. Time is cut once:

    task = "instruct"
    name = "desk"
    news.path = "articles.parquet"
    news.columns = { headline = "title", label = "tone" }
    answers.written_at = "known_at"
    split.train_until = 2015-12-31
    split.validation_until = 2016-03-31
    model.base = "tiny-lm"

    A tuning that was interrupted goes on after its last finished pass. Each fold
    is a task of [bold]--engine[/bold]; one model alone is tuned here.

    Example: [bold]embargo tune mine.toml --explain[/bold]
    """
    from embargo.models.loading import processes
    from embargo.research.cli import answering
    from embargo.research.engine.choice import engine_of
    from embargo.research.modelling.instructing import is_instruct_config
    from embargo.research.modelling.tuning import ONE_TASK, load_tuning, plan_tuning, tune_models
    from embargo.research.progress import shown

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file. Name a folder.")
    if is_instruct_config(config):
        engine_of(engine, workers).close()
        if engine not in ("auto", "serial") and not explain:
            console.print(ONE_TASK)
        answering.tune(config, overrides, env=env or (), out=out, cache=cache_folder(cache), explain=explain)
        return
    settings = load_tuning(config, overrides, env=env or (), allow=allow or ())
    tuned = []
    place = cache_folder(cache)
    with shown(complaints) as stages, closing(engine_of(engine, workers, folder=place, say=stages.say)) as chosen:
        plan = plan_tuning(settings, stages)
        if not explain:
            tuned = list(tune_models(plan, out=out, cache=place, stages=stages, engine=chosen))
    if not processes.is_main():
        return
    if explain:
        _explain(plan)
        return
    table = _plain_table("model", "texts", "test accuracy", "macro-F1", "ECE before", "after", "knows until")
    for one in tuned:
        manifest = one.bundle.manifest
        test = manifest["metrics"]["test"]
        table.add_row(
            escaped(one.bundle.path.name) + (" (was there)" if one.was_there else ""),
            f"{manifest['model']['n_train']:,}",
            *(_figure(test, name) for name in ("accuracy", "macro_f1")),
            _number(None if test is None else test["before"]["ece"]),
            _number(None if test is None else test["ece"]),
            _day(manifest["model"]["knowledge_cutoff"]),
        )
    console.print(table)
    for one in tuned:
        _tell_left_out(one.bundle.path.name, one.bundle.manifest["data"].get("left_out", {}))
    console.print(f"Model card: {tuned[-1].bundle.path / 'README.md'}", soft_wrap=True, highlight=False, markup=False)


def _tell_left_out(name: str, counts: dict[str, int]) -> None:
    told = ", ".join(f"{_reason(what)} {n:,}" for what, n in counts.items() if n)
    if told:
        console.print(f"Left out of {escaped(name)}: {escaped(told)}", soft_wrap=True, highlight=False)


def _reason(count: str) -> str:
    """Say in words why the rows of a count were set aside."""
    return count.replace("_", " ").replace("filtered:", "left out by the filter on ")


def _explain(plan: TunePlan) -> None:
    from embargo.research.modelling.tuning import explained

    shown_before = None
    for samples in plan.samples:
        rows = explained(plan, samples)
        # Folds with the same settings are shown once.
        if rows == shown_before:
            continue
        shown_before = rows
        fold = "" if samples.fold is None else f", fold {samples.fold['index'] + 1} of {samples.fold['of']}"
        table = Table(
            title=f"{plan.config.name}{fold}: {numbered(len(samples.train), 'training text')}",
            box=None,
            padding=(0, 2, 0, 0),
            pad_edge=False,
        )
        for heading in ("setting", "value", "usual, and why"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            mark = f" [yellow]({row.chosen_by})[/]" if row.chosen_by else ""
            why = f"{row.usual}: {row.why}" if row.chosen_by else row.why
            table.add_row(row.setting, f"{escaped(str(row.value))}{mark}", escaped(why))
        console.print(table)


@commands.command()
@guarded(UNTOUCHED)
def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled texts: a file, folder or zip.")],
    format: FormatOption = LabelledFormat.AUTO,  # noqa: A002 - the field's word for it
    agreement: Annotated[
        int | None, typer.Option(help="Which file of the PhraseBank: 50, 66, 75 or 100 percent of annotators.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Cuts the scores of FiQA and SemEval into classes.")] = 0.1,
    text: TextOption = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column of labels in a table.")] = "label",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--mapping", metavar="LABEL=CLASS", help="Such as positive=bullish; repeat for more."),
    ] = None,
    filters: archives.FilterOption = None,
    delimiter: archives.DelimiterOption = None,
    encoding: archives.EncodingOption = None,
    no_header: archives.NoHeaderOption = False,
    published_at: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of publication instants, to tell what the model knew.")
    ] = None,
    fold: FoldOption = None,
    against: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Compare with another model on the same texts.")
    ] = None,
    robustness: Annotated[bool, typer.Option("--robustness", help="Also change the texts and see what moves.")] = False,
    forgetting: Annotated[
        bool, typer.Option("--forgetting", help="Also measure what tuning cost of plain language.")
    ] = False,
    bias: Annotated[
        bool, typer.Option("--bias", help="Also read the same news about others: size, country, sector, gender.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write every figure.", dir_okay=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of bootstraps and changes of texts.")] = 0,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    base: BaseOption = None,
    cache: CacheOption = None,
) -> None:
    """Judge a model on labelled texts: accuracy, calibration, robustness, bias.

    Texts that the model was tuned or validated on are counted and left out.
    Every figure has its interval; beside it stand the commonest class and a
    word list, which every model has to beat.

    A model that was tuned to answer is judged on later articles, in a file of the
    form it was tuned on: what it writes is held against what its base writes.

    Example: [bold]embargo evaluate models/mine-1a2b3c4d Sentences_50Agree.txt[/bold]
    """
    from embargo.data_loaders.archive.label_sets import read_label_set
    from embargo.models.scorers.cache import ScoreCache
    from embargo.research.cli import answering
    from embargo.research.modelling.judgement_tables import print_judgement
    from embargo.research.modelling.judging import judge
    from embargo.research.modelling.opening import open_model
    from embargo.research.progress import shown
    from embargo.research.records.folders import write_json

    if not 0 < level < 1:
        raise ConfigError(f"--level {level}: must lie between 0 and 1, such as 0.95.")
    folder = cache_folder(cache)
    if answering.answers(model):
        answering.refuse(model, fold=fold, against=against, robustness=robustness, forgetting=forgetting, bias=bias)
        answering.evaluate(model, data, cache=folder, base=base, seed=seed, level=level, json_file=json_file)
        return
    reader = open_model(model, fold=fold, cache=folder, base=base)
    other = None if against is None else open_model(against, fold=None, cache=folder)
    labelled = read_label_set(
        data,
        format=format.value,
        agreement=agreement,
        threshold=threshold,
        text=text,
        label=label,
        mapping=dict(pair(one, "--mapping", "LABEL=CLASS") for one in mapping or []) or None,
        filters=archives.filters_of(filters),
        # Whoever reads an undated file now can only say that its labels are known by now.
        knowledge_cutoff=None if published_at else now(),
        published_at=published_at,
        dialect=archives.dialect_of(delimiter, encoding, no_header),
    )
    with shown(complaints) as stages, ScoreCache(folder / "scores") as store:
        judged = judge(
            reader,
            labelled.frame,
            dated=published_at is not None,
            other=other,
            robustness=robustness,
            forgotten=forgetting,
            bias=bias,
            cache=store,
            seed=seed,
            level=level,
            progress=stages.stage(f"Judge {reader.name}"),
        )
    print_judgement(console, judged)
    _tell_left_out(data.name, {what: n for what, n in labelled.counts.items() if what not in ("rows", "samples")})
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        write_json(json_file, {**judged.to_dict(), "data": {"name": data.name, "read": labelled.counts}})
        console.print(f"Figures: {json_file}", soft_wrap=True, highlight=False, markup=False)


@commands.command()
@guarded(SCORE_INTERRUPTED)
def score(
    model: ModelArgument,
    news: Annotated[Path, typer.Argument(metavar="NEWS", help="Parquet, CSV, JSONL, packed or a folder of them.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Parquet file of scores.", dir_okay=False)],
    columns: archives.ColumnsOption = None,
    filters: archives.FilterOption = None,
    timezone: archives.TimezoneOption = None,
    symbol: archives.SymbolOption = None,
    date_only: archives.DateOnlyOption = None,
    text_from: archives.TextFromOption = None,
    symbol_flag: archives.SymbolFlagOption = None,
    symbol_separator: archives.SeparatorOption = None,
    symbol_case: archives.CaseOption = None,
    max_characters: Annotated[
        int | None,
        typer.Option(min=20, help="Cut longer texts, as a run does at news.max_characters (600). Default: none."),
    ] = None,
    time_format: archives.TimeFormatOption = None,
    time_from: archives.TimeFromOption = None,
    delimiter: archives.DelimiterOption = None,
    encoding: archives.EncodingOption = None,
    no_header: archives.NoHeaderOption = False,
    fold: FoldOption = None,
    base: BaseOption = None,
    cache: CacheOption = None,
    engine: EngineOption = "auto",
    workers: WorkersOption = None,
) -> None:
    """Score an archive of news of any size.

    Each distinct text is scored once and kept, so that a scoring that was
    interrupted goes on where it stopped. The columns of the archive are mapped
    as for [bold]embargo import[/bold].

    One row is written per article and symbol: article_id, symbol, known_at,
    bearish, neutral, bullish, confidence, model_id, and bearish_logit and so on
    before calibration. A run reads it back with model.kind = "scores".

    Example: [bold]embargo score models/mine-1a2b3c4d news.parquet --out scores.parquet[/bold]
    """
    from embargo.data_loaders.archive.news import stream_news
    from embargo.models.content import refuse_taken
    from embargo.models.scorers.cache import ScoreCache
    from embargo.research.engine.choice import engine_of
    from embargo.research.modelling.opening import open_model
    from embargo.research.modelling.scoring import score_news
    from embargo.research.progress import shown

    refuse_taken(out)
    stream = stream_news(
        news,
        columns=archives.columns_of(columns),
        filters=archives.filters_of(filters),
        timezone=timezone,
        symbol=symbol,
        date_only=date_only,
        text_from=text_from or [],
        symbol_flags=archives.flags_of(symbol_flag),
        symbol_separator=symbol_separator,
        max_characters=max_characters,
        symbol_case=None if symbol_case is None else symbol_case.value,
        time_format=time_format,
        time_from=time_from or (),
        dialect=archives.dialect_of(delimiter, encoding, no_header),
    )
    folder = cache_folder(cache)
    reader = open_model(model, fold=fold, cache=folder, base=base)
    with ExitStack() as stack:
        stages = stack.enter_context(shown(complaints))
        store = stack.enter_context(ScoreCache(folder / "scores"))
        chosen = stack.enter_context(closing(engine_of(engine, workers, folder=folder, say=stages.say)))
        progress = stages.stage(f"Score {news.name}")
        found = score_news(reader, stream, out, cache=store, progress=progress, engine=chosen)
    table = _plain_table("", "")
    table.show_header = False
    set_aside = {name: n for name, n in stream.counts.items() if n and name not in ("rows", "kept")}
    rows = {
        "rows read": stream.counts.get("rows", found.n_rows),
        **{_reason(name): n for name, n in set_aside.items()},
        "rows written": found.n_rows,
        "articles": found.n_articles,
        "texts scored now": found.n_scored,
        "texts from the cache": found.n_cached,
    }
    for name, number in rows.items():
        table.add_row(escaped(name), f"{number:,}")
    console.print(table)
    _say_what_it_knew(reader, found.n_known_before, found.n_rows)
    console.print(f"Scores: {out}", soft_wrap=True, highlight=False, markup=False)


def _say_what_it_knew(reader: ModelReader, before: int | None, rows: int) -> None:
    if before is None:
        text = "The model's knowledge cutoff is unknown: it may have read any of these articles."
    elif before:
        text = (
            f"{before:,} of {rows:,} rows were known by the model's knowledge cutoff "
            f"({reader.knowledge_cutoff:%Y-%m-%d}): a backtest on them is contaminated."
        )
    else:
        return
    console.print(f"[yellow]{escaped(text)}[/]", soft_wrap=True, highlight=False)


@commands.command("models")
@guarded(UNTOUCHED)
def list_models(
    folder: Annotated[Path, typer.Option(help="Folder of model folders.", file_okay=False)] = Path("models"),
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only bases whose name contains this.")] = None,
) -> None:
    """List the bases that are known, and the models that were tuned.

    A base can be any local folder or name on the model hub; for those in the
    list it is documented what they know. Evidence "release" means that only the
    date of publication bounds it.

    Example: [bold]embargo models --search finbert[/bold]
    """
    import pandas as pd

    from embargo.models.bases.registry import known_bases
    from embargo.models.bundles.bundle import list_bundles

    bases = known_bases()
    if search:
        bases = bases[bases["name"].str.contains(search, case=False, regex=False)]
    table = _plain_table("base", "kind", "parameters", "knows until", "evidence")
    for row in bases.to_dict("records"):
        table.add_row(
            escaped(row["name"]),
            row["kind"],
            MISSING if pd.isna(row["parameters"]) else _size(row["parameters"]),
            f"{row['cutoff']:%Y-%m-%d}",
            row["evidence"],
        )
    console.print(table if len(bases) else f"No known base has {search!r} in its name.", markup=False)
    tuned = list_bundles(folder) if folder.is_dir() else []
    if not tuned:
        console.print(f"\nNo models in {folder}: 'embargo tune' makes them.", highlight=False, markup=False)
        return
    table = _plain_table("model", "what", "base", "method", "accuracy", "macro-F1", "knows until", wraps=2)
    for entry in tuned:
        table.add_row(
            escaped(entry["name"]),
            escaped(entry["kind"]),
            escaped(entry["base"]),
            escaped(entry["method"]),
            _number(entry["accuracy"]),
            _number(entry["macro_f1"]),
            _day(entry["knowledge_cutoff"]),
        )
    console.print()
    console.print(table)


@commands.command()
@guarded(UNTOUCHED)
def export(
    model: ModelArgument,
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, which scores without torch.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With --onnx: rounded to 8 bits.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="As one full-precision transformers model.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder. Default: the model's, and what it is.", file_okay=False),
    ] = None,
    calibration_texts: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="For --int8: a file with the model's training texts."),
    ] = None,
    format: FormatOption = LabelledFormat.AUTO,  # noqa: A002 - the field's word for it
    text: TextOption = "text",
    fold: FoldOption = None,
    base: BaseOption = None,
    cache: CacheOption = None,
) -> None:
    """Write a model for use elsewhere, with the proof that it is the same.

    An ONNX export is measured against the original: how far probabilities
    move, and how long a text takes. A merged model is loaded again and held
    against the adapter.

    For --int8 the scales are fitted on texts that the model was trained on:
    of the file that is given, others are left out.

    Example: [bold]embargo export models/mine-1a2b3c4d --onnx[/bold]
    """
    from embargo.research.cli import answering
    from embargo.research.modelling.export import export_merged, export_onnx_model, training_texts
    from embargo.research.modelling.opening import open_model

    if onnx == merge:
        raise ConfigError("choose one of --onnx and --merge.")
    if int8 and not onnx:
        raise ConfigError("--int8 belongs to --onnx.")
    if int8 != (calibration_texts is not None):
        raise ConfigError(
            "--int8 and --calibration-texts DATA go together: its scales are fitted on texts of the tuning."
        )
    if answering.answers(model):
        answering.refuse(model, fold=fold, onnx=onnx)
        answering.export(model, out, cache=cache_folder(cache), base=base)
        return
    kind = "merged" if merge else f"onnx-{'int8' if int8 else 'fp32'}"
    reader = open_model(model, fold=fold, cache=cache_folder(cache), base=base)
    target = out if out is not None else model.resolve().parent / f"{reader.name.replace(' ', '-')}-{kind}"
    if merge:
        merged = export_merged(reader, target)
        proof = merged.manifest["proof"]
        console.print(
            f"Merged as tuned: over {numbered(proof['n'], 'text')} no logit moves by more than "
            f"{merged.max_dlogit:.1e} (allowed {proof['tolerance']:g}).",
            highlight=False,
        )
    else:
        texts = None
        if calibration_texts is not None:
            found = training_texts(reader, calibration_texts, format=format.value, text=text)
            texts = found.texts
            console.print(
                f"Scales: {numbered(len(texts), 'training text')} of the {found.n_read:,} in "
                f"{escaped(calibration_texts.name)}; {found.n_strangers:,} were not trained on and left out.",
                highlight=False,
            )
        _show_export(export_onnx_model(reader, target, texts=texts))
    console.print(f"Model: {target}", soft_wrap=True, highlight=False, markup=False)


def _show_export(exported: OnnxExport) -> None:
    table = _plain_table("against", "texts", "same class", "largest change of p", "mean", "of a logit")
    for one in exported.agreement:
        table.add_row(
            one.reference,
            f"{one.n}",
            f"{100 * one.labels_equal:.1f} %",
            f"{one.max_dp:.1e}",
            f"{one.mean_dp:.1e}",
            f"{one.max_dlogit:.1e}",
        )
    console.print(table)
    table = _plain_table("speed", "one text, p50", "p99", "in bulk")
    speeds: dict[str, Speed] = {"original": exported.original_speed, "export": exported.speed}
    for name, speed in speeds.items():
        single = (f"{speed.single_p50_ms:.2f} ms", f"{speed.single_p99_ms:.2f} ms")
        table.add_row(name, *single, f"{speed.texts_per_s:,.0f} texts/s")
    console.print(table)


def _plain_table(*headings: str, wraps: int = 0) -> Table:
    """Return an empty table without a frame, of which one column, by default the first, wraps where it is too wide."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, heading in enumerate(headings):
        words = place == 0 or heading in ("kind", "evidence", "what", "base", "method", "knows until")
        table.add_column(heading, justify="left" if words else "right", no_wrap=place != wraps, overflow="fold")
    return table


def _figure(report: dict[str, Any] | None, name: str) -> str:
    if report is None:
        return MISSING
    low, high = report[f"{name}_interval"]
    return f"{report[name]:.3f} ({low:.3f}–{high:.3f})"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _day(iso: str | None) -> str:
    return "unknown" if iso is None else iso[:10]


def _size(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"
