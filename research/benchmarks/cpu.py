"""Time MiniLM on one thread of a CPU against plain loops of transformers: to score, and to tune.

Run by ``python -m embargo.research.benchmarks.cpu``. Seconds are CPU seconds of this process, which are less moved by
what else runs; ways take turns, and their ratios within a turn are what to watch. The plain loop scores batches of 32
texts sorted by their tokens; the plain training is transformers' Trainer, with batches grouped by length and the same
adapters. All compute in fp32. ``--texts`` names a Parquet file with a column ``text``, by default texts are simulated.
``--methods`` adds QLoRA to LoRA.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.models.bases.resolve import Base, resolve_base
from embargo.models.export.onnx import exported_scorer
from embargo.models.loading.libraries import untyped
from embargo.models.loading.load import deterministic, encode, load_tokenizer
from embargo.models.methods.settings import Method, TuneSettings
from embargo.models.scorers.transformer import TransformerScorer, scoring_model
from embargo.models.tuning.adapters import Adapter, adapted_model, tune

MAX_LENGTH, BATCH, TUNED_ON, VALIDATION = 128, 32, 64, 32


def spent(carry_out: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of this process that a call takes, and what it returns."""
    start = time.process_time()
    found = carry_out()
    return time.process_time() - start, found


def read_texts(path: Path | None, n: int) -> list[str]:
    """Return distinct texts of a file, or simulated ones."""
    news = simulate_market(SimulatedMarket(end="2017-12-31")).news if path is None else pd.read_parquet(path)
    distinct = news["text"].drop_duplicates()
    return list(distinct.sample(min(n, len(distinct)), random_state=7_300_000))


def one_pass(method: Method) -> TuneSettings:
    return TuneSettings(method=method, compute="fp32", epochs=1, batch_size=BATCH, max_length=MAX_LENGTH)


def tuned(base: Base, texts: Sequence[str], folder: Path, method: Method = "lora") -> Adapter:
    """Tune for a pass on texts with labels that mean nothing: only the time counts."""
    held = texts[-VALIDATION:]
    return tune(
        base,
        train_texts=texts,
        train_labels=[row % 3 for row in range(len(texts))],
        validation_texts=held,
        validation_labels=[row % 3 for row in range(len(held))],
        settings=one_pass(method),
        trained_until=None,
        cache_dir=folder,
    )


def plain_scorer(base: Base, adapter: Adapter) -> Callable[[Sequence[str]], np.ndarray]:
    """Return a loop over batches that are sorted by their tokens and padded to their longest."""
    import torch

    model, tokenizer = scoring_model(base, adapter, "fp32"), load_tokenizer(base)

    def loop(texts: Sequence[str]) -> np.ndarray:
        tokens = encode(tokenizer, texts, MAX_LENGTH)
        order, found = np.argsort([len(each) for each in tokens], kind="stable"), np.empty((len(texts), 3))
        with torch.inference_mode():
            for rows in np.split(order, range(BATCH, len(order), BATCH)):
                batch = tokenizer.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
                found[rows] = model(**batch).logits.numpy()
        return found

    return loop


def plain_training(base: Base, texts: Sequence[str], folder: Path, method: Method) -> None:
    """Let transformers' Trainer pass over the texts, with the adapters and the rate that tuning takes."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    settings = one_pass(method)
    tokenizer = load_tokenizer(base)
    with deterministic(0):
        model = adapted_model(base, settings, "fp32")

    def rows(part: Sequence[str]) -> list[dict[str, Any]]:
        tokens = encode(tokenizer, part, MAX_LENGTH)
        return [{"input_ids": ids, "labels": row % 3} for row, ids in enumerate(tokens)]

    arguments = untyped(TrainingArguments)(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=64,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = untyped(Trainer)(
        model=model,
        args=arguments,
        train_dataset=rows(texts),
        eval_dataset=rows(texts[-VALIDATION:]),
        data_collator=untyped(DataCollatorWithPadding)(tokenizer),
    )
    trainer.train()


def time_scoring(base: Base, texts: Sequence[str], turns: int, folder: Path, table: Table) -> None:
    adapter = tuned(base, texts[:TUNED_ON], folder)
    exporting, exported = spent(
        lambda: exported_scorer(base, adapter, precision="fp32", calibration_texts=[], cache_dir=folder)
    )
    ways: dict[str, Callable[[Sequence[str]], np.ndarray]] = {
        "transformers, sorted": plain_scorer(base, adapter),
        "torch": TransformerScorer(base, adapter).logits,
        f"ONNX fp32, exported in {exporting:.1f} s": exported.logits,
    }
    for way in ways.values():
        way(texts[:1])
    rounds = [[spent(partial(way, texts)) for way in ways.values()] for _ in range(turns)]
    seconds = np.array([[taken for taken, _ in turn] for turn in rounds])
    logits = [found for _, found in rounds[0]]
    for number, name in enumerate(ways):
        equal = (logits[number].argmax(axis=1) == logits[0].argmax(axis=1)).mean()
        moved = np.abs(logits[number] - logits[0]).max()
        _add(table, f"score {len(texts):,} texts: {name}", seconds, number, f"{equal:.3f}", f"{moved:.0e}")


def time_training(base: Base, texts: Sequence[str], method: Method, turns: int, folder: Path, table: Table) -> None:
    tuned(base, texts[:TUNED_ON], folder / "first", method)
    seconds = []
    for turn in range(turns):
        plain, _ = spent(partial(plain_training, base, texts, folder, method))
        ours, _ = spent(partial(tuned, base, texts, folder / str(turn), method))
        seconds.append([plain, ours])
    for number, name in enumerate(("transformers' Trainer, grouped by length", "tune")):
        _add(table, f"{method} on {len(texts):,} texts: {name}", np.array(seconds), number, "", "")


def _add(table: Table, name: str, seconds: np.ndarray, number: int, *told: str) -> None:
    times = np.median(seconds[:, 0] / seconds[:, number])
    table.add_row(name, f"{np.median(seconds[:, number]):.1f}", f"{times:.2f}", *told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m embargo.research.benchmarks.cpu", description=__doc__)
    parser.add_argument("--texts", type=Path, metavar="FILE.parquet", help="a table with a column 'text'")
    parser.add_argument("--score", type=int, nargs="*", default=[600, 1200], metavar="N", help="texts to score")
    parser.add_argument("--tune", type=int, nargs="*", default=[600], metavar="N", help="texts to tune on")
    parser.add_argument("--methods", nargs="*", choices=("lora", "qlora"), default=["lora"], help="how to tune")
    parser.add_argument("--turns", type=int, default=3, help="turns of every way (default: %(default)s)")
    asked = parser.parse_args(arguments)
    texts = read_texts(asked.texts, max([*asked.score, *asked.tune, TUNED_ON]))
    import torch

    torch.set_num_threads(1)
    table = Table("MiniLM, one thread, fp32", "CPU s", "times as fast", "labels equal", "max Δ logit")
    with tempfile.TemporaryDirectory() as name:
        base = resolve_base("minilm")
        for n in asked.score:
            time_scoring(base, texts[:n], asked.turns, Path(name) / f"score-{n}", table)
        for n, method in product(asked.tune, asked.methods):
            time_training(base, texts[:n], method, asked.turns, Path(name) / f"{method}-{n}", table)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
