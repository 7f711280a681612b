"""Compare every way to tune with simple peers on the Financial PhraseBank.

Run by ``python -m embargo.research.benchmarks.model``. A fixed stratified fifth of a set is the test part, a tenth of
the rest the validation part. Settings are chosen by the validation part alone: it ends each training, calibrates, picks
the method that is compared with TF-IDF, and chose LoRA's default rates (``--rates`` prints its losses, reads no test
text). The sets overlap, so a model is judged only on the set it was tuned on. Adapters are kept in ``--cache``: a
benchmark that was killed goes on where it stopped.

Costs are CPU-seconds of this process; set ``OMP_NUM_THREADS=1`` to compare them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.archive.label_sets import read_label_set
from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.models.bases.resolve import TINY, Base, resolve_base
from embargo.models.calibration.fitting import Calibration, fit_calibration
from embargo.models.calibration.measures import expected_calibration_error
from embargo.models.content import json_hash, sample_fingerprint
from embargo.models.evaluation.classification import classification_report
from embargo.models.evaluation.comparison import compare_classifiers, losses
from embargo.models.methods.cards import METHODS, refusal
from embargo.models.methods.defaults import default_settings
from embargo.models.methods.settings import AdapterTarget, TuneSettings
from embargo.models.scorers.lexicon import LexiconScorer
from embargo.models.scorers.linear import fit_linear
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import Adapter, tune
from embargo.models.tuning.tiny import pretrain_tiny

SETS: dict[str, dict[str, Any] | None] = {"AllAgree": {"agreement": "all"}, "50Agree": None}
PUBLISHED = pd.Timestamp("2013-12-31", tz="UTC")
TEST_SHARE, VALIDATION_SHARE, SPLIT_SEED = 0.2, 0.1, 0
SEEDED = ("lora", "qlora")
LINEAR = "TF-IDF"

Logits = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Split:
    """A set in three parts, each with ``text`` and ``label`` (0 bearish, 1 neutral, 2 bullish)."""

    name: str
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Row:
    """What is printed of one model; intervals are 95 % bootstrap intervals over test sentences."""

    set: str
    base: str
    method: str
    seed: int | None
    accuracy: float
    accuracy_interval: list[float]
    macro_f1: float
    macro_f1_interval: list[float]
    weighted_f1: float
    weighted_f1_interval: list[float]
    ece_before: float
    ece_after: float
    validation_loss: float
    train_cpu_seconds: float | None
    cpu_ms_per_text: float


@dataclass(frozen=True)
class Judged:
    """A row with the calibrated probabilities behind it, shape (n_test, 3)."""

    row: Row
    probabilities: np.ndarray


def split(samples: pd.DataFrame, name: str) -> Split:
    """Cut the fixed parts out of a set, each with the set's shares of the classes."""
    from sklearn.model_selection import train_test_split

    def cut(frame: pd.DataFrame, share: float) -> list[pd.DataFrame]:
        found: list[pd.DataFrame] = train_test_split(
            frame, test_size=share, random_state=SPLIT_SEED, stratify=frame["label"]
        )
        return [part.reset_index(drop=True) for part in found]

    rest, test = cut(samples[["text", "label"]], TEST_SHARE)
    train, validation = cut(rest, VALIDATION_SHARE)
    return Split(name, train, validation, test)


def read_split(path: Path, name: str) -> Split:
    return split(read_label_set(path, format="table", filters=SETS[name], knowledge_cutoff=PUBLISHED).frame, name)


def open_named(name: str, cache: Path) -> Base:
    """Open a base by name; ``tiny`` is pretrained on the text of a simulated market."""
    if name != TINY:
        return resolve_base(name)
    news = simulate_market(SimulatedMarket(end="2017-12-31")).news.drop_duplicates("text")
    instants = news["published_at"]
    return pretrain_tiny(news["text"].tolist(), known_at=instants, knowledge_cutoff=instants.max(), cache_dir=cache)


def tuned(base: Base, parts: Split, settings: TuneSettings, cache: Path) -> tuple[Adapter, float | None]:
    """Return the adapter and the CPU-seconds spent on it, by runs that were killed too; None if nobody counted."""
    key = {
        "base": base.weights_hash,
        "settings": asdict(settings),
        "parts": [sample_fingerprint(part["text"].tolist(), part["label"]) for part in (parts.train, parts.validation)],
    }
    kept = cache / "seconds" / f"{json_hash(key)[:24]}.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    before = float(kept.read_text(encoding="ascii")) if kept.is_file() else 0.0
    start = time.process_time()

    def count(_done: int, _steps: int) -> None:
        kept.write_text(f"{before + time.process_time() - start:.1f}", encoding="ascii")

    adapter = tune(
        base,
        train_texts=parts.train["text"].tolist(),
        train_labels=parts.train["label"].tolist(),
        validation_texts=parts.validation["text"].tolist(),
        validation_labels=parts.validation["label"].tolist(),
        settings=settings,
        trained_until=None,
        cache_dir=cache,
        progress=count,
    )
    return adapter, float(kept.read_text(encoding="ascii")) if kept.is_file() else None


def judge(
    logits: Logits, parts: Split, *, base: str, method: str, seed: int | None = None, cpu_seconds: float | None = None
) -> Judged:
    """Calibrate on the validation part and measure on the test part."""
    known, truth = parts.validation["label"].to_numpy(), parts.test["label"].to_numpy()
    raw_known = logits(parts.validation["text"].tolist())
    start = time.process_time()
    raw = logits(parts.test["text"].tolist())
    seconds = time.process_time() - start
    calibration = fit_calibration("temperature", raw_known, known)
    probabilities = calibration.apply(raw)
    report = classification_report(probabilities, truth)
    names = ("accuracy", "macro_f1", "weighted_f1")
    row = Row(
        set=parts.name,
        base=base,
        method=method,
        seed=seed,
        **{name + end: report[name + end] for name in names for end in ("", "_interval")},
        ece_before=expected_calibration_error(Calibration().apply(raw), truth),
        ece_after=report["ece"],
        validation_loss=float(losses(calibration.apply(raw_known), known).mean()),
        train_cpu_seconds=cpu_seconds,
        cpu_ms_per_text=1000 * seconds / len(truth),
    )
    return Judged(row, probabilities)


def peers(parts: Split) -> Iterator[Judged]:
    """Judge what needs no language model: the most frequent class, the lexicon, and TF-IDF."""
    texts, labels = parts.train["text"].tolist(), parts.train["label"].to_numpy()
    shares = np.log(np.bincount(labels, minlength=len(CLASSES)) / len(labels))
    yield judge(lambda asked: np.tile(shares, (len(asked), 1)), parts, base="-", method="majority", cpu_seconds=0.0)
    yield judge(LexiconScorer().logits, parts, base="-", method="lexicon", cpu_seconds=0.0)
    start = time.process_time()
    linear = fit_linear(texts, labels.tolist(), trained_until=None)
    yield judge(linear.logits, parts, base="-", method=LINEAR, cpu_seconds=time.process_time() - start)


def taken(base: Base, methods: Sequence[str], console: Console) -> list[str]:
    """Return the methods that a base can take, and say which it cannot."""
    reasons = {method: refusal(method, base.architecture) for method in methods if method != "none"}
    for method, reason in reasons.items():
        if reason is not None:
            console.print(f"{base.name}: no {method}, as {reason}.")
    return [method for method, reason in reasons.items() if reason is None]


def adapters(base: Base, parts: Split, methods: Sequence[str], seeds: Sequence[int], cache: Path) -> Iterator[Judged]:
    """Judge each method with the usual settings; LoRA and QLoRA with every seed."""
    runs = [(method, seeds[0]) for method in methods]
    runs += [(method, seed) for seed in seeds[1:] for method in methods if method in SEEDED]
    for method, seed in runs:
        settings = replace(default_settings(method, len(parts.train), base), seed=seed)
        adapter, spent = tuned(base, parts, settings, cache)
        logits = TransformerScorer(base, adapter).logits
        yield judge(logits, parts, base=base.name, method=method, seed=seed, cpu_seconds=spent)


def search(
    base: Base,
    parts: Split,
    methods: Sequence[str],
    rates: Sequence[float],
    targets: Sequence[AdapterTarget],
    cache: Path,
) -> Iterator[tuple[str, ...]]:
    """Tune with each rate and target, and tell the validation loss of each pass; the test part is not read."""
    for method, target, rate in product(methods, targets, rates):
        settings = replace(default_settings(method, len(parts.train), base), learning_rate=rate)
        adapter, _ = tuned(base, parts, replace(settings, target=target), cache)
        passes = [epoch["validation_loss"] for epoch in adapter.manifest["epochs"]]
        shown = " ".join(f"{loss:.3f}" for loss in passes)
        yield parts.name, base.name, method, target, f"{rate:g}", f"{min(passes):.4f}", shown


def seeds_compared(judged: Sequence[Judged], parts: Split, base: str) -> dict[str, Any] | None:
    """Return QLoRA less LoRA in macro-F1: each seed's and their mean, with the paired test of all seeds at once.

    The test draws sentences, each with its predictions under every seed.
    """
    found = {(one.row.method, one.row.seed): one for one in judged if one.row.base == base}
    seeds = [seed for method, seed in found if method == "qlora" and ("lora", seed) in found]
    if not seeds:
        return None
    differences = [found["qlora", seed].row.macro_f1 - found["lora", seed].row.macro_f1 for seed in seeds]
    pooled = {name: np.vstack([found[name, seed].probabilities for seed in seeds]) for name in ("qlora", "lora")}
    truth, sentences = (np.tile(values, len(seeds)) for values in (parts.test["label"], parts.test.index))
    table = compare_classifiers(pooled, truth, groups=sentences)
    test = table[table["question"].str.contains("macro-F1")].iloc[0]
    return {
        "set": parts.name,
        "base": base,
        "seeds": seeds,
        "differences": differences,
        "mean": float(np.mean(differences)),
        "interval": [float(test["low"]), float(test["high"])],
        "p_value": float(test["p_value"]),
    }


def best_compared(judged: Sequence[Judged], parts: Split, base: str) -> pd.DataFrame | None:
    """Compare the method with the lowest validation loss on a base with TF-IDF, on the test part."""
    linear = [one for one in judged if one.row.method == LINEAR]
    of_base = [one for one in judged if one.row.base == base]
    if not linear or not of_base:
        return None
    best = min(of_base, key=lambda one: one.row.validation_loss)
    name = f"{base} {best.row.method}"
    table = compare_classifiers(
        {name: best.probabilities, LINEAR: linear[0].probabilities}, parts.test["label"].to_numpy()
    )
    return table.assign(set=parts.name)


_WIDTHS = {
    "set": 8,
    "base": 6,
    "method": 8,
    "seed": 4,
    "accuracy": 18,
    "macro-F1": 18,
    "weighted-F1": 18,
    "ECE": 13,
    "val loss": 8,
    "train CPU s": 11,
    "ms/text": 7,
}


def show(console: Console, row: Row, *, header: bool) -> None:
    """Print one line of the table, the same widths every time."""
    table = Table(box=None, show_header=header)
    for name, width in _WIDTHS.items():
        table.add_column(name, width=width, no_wrap=True)
    spent = "-" if row.train_cpu_seconds is None else f"{row.train_cpu_seconds:.1f}"
    table.add_row(
        *(row.set, row.base, row.method, "-" if row.seed is None else str(row.seed)),
        _around(row.accuracy, row.accuracy_interval),
        _around(row.macro_f1, row.macro_f1_interval),
        _around(row.weighted_f1, row.weighted_f1_interval),
        f"{row.ece_before:.3f} > {row.ece_after:.3f}",
        *(f"{row.validation_loss:.4f}", spent, f"{row.cpu_ms_per_text:.2f}"),
    )
    console.print(table)


def _around(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]".replace("0.", ".")


def show_seeds(console: Console, found: Sequence[dict[str, Any]]) -> None:
    table = Table("set", "base", "seeds", "QLoRA - LoRA, macro-F1", "mean", "interval", "p", title="Four bits")
    for one in found:
        low, high = one["interval"]
        table.add_row(
            *(one["set"], one["base"], " ".join(map(str, one["seeds"]))),
            " ".join(f"{difference:+.4f}" for difference in one["differences"]),
            *(f"{one['mean']:+.4f}", f"[{low:+.4f}, {high:+.4f}]", f"{one['p_value']:.3f}"),
        )
    console.print(table)


def show_best(console: Console, found: pd.DataFrame) -> None:
    table = Table("set", "a", "b", "question", "test", "a - b", "interval", "p", title="Against TF-IDF")
    for row in found.to_dict("records"):
        interval = "-" if np.isnan(row["low"]) else f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        p_value = "-" if np.isnan(row["p_value"]) else f"{row['p_value']:.4f}"
        told = (str(row[name]) for name in ("set", "a", "b", "question", "test"))
        table.add_row(*told, f"{row['estimate']:+.4f}", interval, p_value)
    console.print(table)


def benchmark(asked: argparse.Namespace, console: Console) -> None:
    """Judge all that is asked for, row by row, and write the file anew after each."""
    found: dict[str, Any] = {"rows": [], "seeds": [], "against_linear": []}
    first = True
    bases = [open_named(name, asked.cache) for name in asked.bases]
    methods = {base.name: taken(base, asked.methods, console) for base in bases}
    for name in asked.set:
        parts = read_split(asked.data, name)
        judged: list[Judged] = []
        tunings = (adapters(base, parts, methods[base.name], asked.seeds, asked.cache) for base in bases)
        for source in (peers(parts), *tunings):
            for one in source:
                judged.append(one)
                found["rows"].append(asdict(one.row))
                show(console, one.row, header=first)
                first = False
                write(asked.json, found)
        for base in bases:
            compared = seeds_compared(judged, parts, base.name)
            found["seeds"] += [] if compared is None else [compared]
            against = best_compared(judged, parts, base.name)
            found["against_linear"] += [] if against is None else json.loads(against.to_json(orient="records"))
            write(asked.json, found)
            if against is not None:
                show_best(console, against)
    show_seeds(console, found["seeds"])


def write(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def rates(asked: argparse.Namespace, console: Console) -> None:
    """Print the validation losses of the rates that are asked for."""
    bases = [open_named(name, asked.cache) for name in asked.bases]
    for name, base in product(asked.set, bases):
        methods = taken(base, asked.methods, console)
        for told in search(base, read_split(asked.data, name), methods, asked.rates, asked.targets, asked.cache):
            console.print("  ".join(told), highlight=False)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/phrasebank.parquet"))
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--bases", nargs="+", default=[TINY, "minilm"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="all of them for LoRA and QLoRA")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--json", type=Path, help="write every figure here, anew after each row")
    parser.add_argument("--rates", nargs="+", type=float, help="only tune with these rates and print validation losses")
    parser.add_argument("--targets", nargs="+", default=["attention", "all-linear"], help="with --rates")
    return parser.parse_args(given)


def main() -> None:
    asked = arguments()
    console = Console(width=150)
    if asked.rates:
        rates(asked, console)
    else:
        benchmark(asked, console)


if __name__ == "__main__":
    main()
