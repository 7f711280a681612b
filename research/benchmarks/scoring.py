"""Time the ways to score headlines with one tuned MiniLM, in one process.

Run by ``python -m embargo.research.benchmarks.scoring``. Absolute figures depend on the machine; the ratios to torch
fp32 in the same run are what to watch. Rounds of all ways take turns, so that a busy machine slows each of them alike.
Set ``OMP_NUM_THREADS`` for a number of threads; torch and ONNX Runtime both obey it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from embargo.data_loaders.fields import CLASSES
from embargo.data_loaders.simulated.market import SimulatedMarket, simulate_market
from embargo.models.bases.resolve import Base, resolve_base
from embargo.models.calibration.fitting import Calibration
from embargo.models.export.onnx import compare, export_onnx
from embargo.models.methods.settings import TuneSettings
from embargo.models.scorer import Scorer
from embargo.models.scorers.onnx import OnnxScorer
from embargo.models.scorers.transformer import TransformerScorer
from embargo.models.tuning.adapters import Adapter, tune

TRAIN, VALIDATION, SCORED, SINGLE = 480, 120, 512, 50
ROUNDS = 3


@dataclass(frozen=True)
class Way:
    """A way to score: many texts at once, and one text by itself."""

    name: str
    many: Scorer
    one: Scorer


def seconds(scorer: Scorer, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    scorer.logits(texts)
    return time.perf_counter() - start


def tuned(base: Base, texts: list[str], labels: list[int], folder: Path) -> Adapter:
    until = TRAIN + VALIDATION
    return tune(
        base,
        train_texts=texts[:TRAIN],
        train_labels=labels[:TRAIN],
        validation_texts=texts[TRAIN:until],
        validation_labels=labels[TRAIN:until],
        settings=TuneSettings(method="lora", compute="fp32", epochs=3, learning_rate=2e-3),
        trained_until=None,
        cache_dir=folder,
    )


def ways(base: Base, adapter: Adapter, training_texts: list[str], folder: Path) -> list[Way]:
    plain = export_onnx(base, adapter, Calibration(), folder / "fp32", precision="fp32")
    rounded = export_onnx(
        base, adapter, Calibration(), folder / "int8", precision="int8", calibration_texts=training_texts
    )
    found = [
        Way(
            f"torch {compute}",
            TransformerScorer(base, adapter, compute=compute),
            TransformerScorer(base, adapter, compute=compute, token_budget=1),
        )
        for compute in ("fp32", "bf16")
    ]
    for name, export in (("ONNX fp32", plain), ("ONNX int8, static", rounded)):
        scorer = OnnxScorer(export.path)
        found.append(Way(name, scorer, scorer))
    return found


def main() -> None:
    news = simulate_market(SimulatedMarket(n_symbols=8, end="2017-12-31")).news.drop_duplicates("text")
    news = news.sample(TRAIN + VALIDATION + SCORED, random_state=0)
    texts, labels = news["text"].tolist(), [CLASSES.index(label) for label in news["label"]]
    scored = texts[TRAIN + VALIDATION :]
    table = Table(
        "MiniLM", "headlines/s", "times torch fp32", "one: p50 ms", "p99 ms", "labels equal", "max Δp", "mean Δp"
    )
    with tempfile.TemporaryDirectory() as name:
        base = resolve_base("minilm")
        adapter = tuned(base, texts, labels, Path(name))
        chosen = ways(base, adapter, texts[:256], Path(name))
        logits = [way.many.logits(scored) for way in chosen]
        for way in chosen:
            way.one.logits(scored[:1])
        many = np.array([[seconds(way.many, scored) for way in chosen] for _ in range(ROUNDS)])
        single = 1000 * np.array([[seconds(way.one, [text]) for way in chosen] for text in scored[: SINGLE * ROUNDS]])
    rate = len(scored) / np.median(many, axis=0)
    # Ratios are taken within a round.
    times = np.median(many[:, :1] / many, axis=0)
    for number, way in enumerate(chosen):
        agreement = compare(logits[number], logits[0], Calibration(), reference="torch fp32")
        p50, p99 = np.percentile(single[:, number], [50, 99])
        table.add_row(
            way.name,
            f"{rate[number]:.0f}",
            f"{times[number]:.2f}",
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{agreement.labels_equal:.3f}",
            f"{agreement.max_dp:.1g}",
            f"{agreement.mean_dp:.1g}",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
