"""What the GPU benchmark times: tuning and scoring by the product and by plain peers, on one made base.

A function here does one row's work and says how long it took for which texts; warming up is never timed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embargo.research.benchmarks.gpu_base import MadeBase, Shape, lengths_of, texts_of

if TYPE_CHECKING:
    from embargo.models.methods.settings import TuneSettings
    from embargo.models.tuning.adapters import Adapter

WARM = 3
NAIVE_ROWS = 32
MICRO_BATCH = 8
RANK = 16


@dataclass(frozen=True)
class Scale:
    """How much is measured: seconds of each timed part, and bounds on optimiser steps and on texts scored."""

    seconds: float
    steps: tuple[int, int]
    texts: tuple[int, int]


FULL = Scale(seconds=15.0, steps=(2, 24), texts=(256, 8192))
SMALL = Scale(seconds=0.05, steps=(2, 2), texts=(48, 48))


@dataclass(frozen=True)
class Speed:
    """Texts gone through, by their lengths, in so many seconds; ``trained`` where gradients came back."""

    lengths: list[int]
    seconds: float
    trained: bool
    note: str = ""


@dataclass
class Bench:
    """What all rows share."""

    made: MadeBase
    scale: Scale
    compute: Literal["fp32", "bf16"]
    folder: Path
    adapter: Adapter | None = None
    texts_scored: int = 0
    runs: int = 0

    def scratch(self, name: str) -> Path:
        """Return a path that nothing was written to."""
        self.runs += 1
        return self.folder / f"{name}{self.runs}"


def settings_of(bench: Bench, length: int, batch: int) -> TuneSettings:
    from embargo.models.methods.settings import TuneSettings

    return TuneSettings(
        method="qlora",
        rank=RANK,
        alpha=2.0 * RANK,
        dropout=0.05,
        target="all-linear",
        learning_rate=2e-4,
        epochs=1,
        batch_size=batch,
        micro_batch=MICRO_BATCH,
        max_length=length,
        checkpointing=True,
        compute=bench.compute,
    )


def now() -> float:
    """Return seconds, after the GPU has done all it was asked."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def bounded(value: float, bounds: tuple[int, int]) -> int:
    return int(min(max(value, bounds[0]), bounds[1]))


def adapted(bench: Bench, settings: TuneSettings) -> Any:
    from embargo.models.loading.load import deterministic, device
    from embargo.models.tuning.adapters import adapted_model

    shared: Any = bench.made
    with deterministic(0):
        return adapted_model(bench.made.base, settings, bench.compute, shared=shared).to(device())


def drawn(count: int, length: int, seed: int) -> list[int]:
    return [int(value) for value in lengths_of(count, length, np.random.default_rng(seed))]


def samples(bench: Bench, lengths: Sequence[int], length: int, seed: int) -> Any:
    """Return encoded random texts with random labels."""
    from embargo.models.loading.load import encode, load_tokenizer
    from embargo.models.tuning.loop import Encoded

    rng = np.random.default_rng(seed)
    tokens = encode(load_tokenizer(bench.made.base), texts_of(lengths, bench.made.shape, rng), length)
    return Encoded(tokens, rng.integers(0, 3, len(tokens)))


def product_training(bench: Bench, length: int, batch: int, *, full: bool = False) -> Speed:
    """Train by the product's own loop: a few steps to warm up, then as many as fill the row's seconds.

    ``full`` texts are all as long as the cut, and 64 of them are validated on: the most memory that a tuning takes.
    """
    settings = settings_of(bench, length, batch)
    model = adapted(bench, settings)
    held_out = samples(bench, [length] * 64 if full else drawn(8, length, 1), length, 1)

    def run(steps: int) -> tuple[list[int], float, float, list[Any]]:
        from embargo.models.loading.load import deterministic
        from embargo.models.tuning.loop import train

        count = steps * batch
        part = samples(bench, [length] * count if full else drawn(count, length, 0), length, 0)
        checkpoint = bench.scratch("checkpoint")
        times: dict[int, float] = {}

        def clock(done: int, total: int) -> None:
            # The loop reports its last step a second time when all is done.
            if done in (1, total) and done not in times:
                times[done] = now()

        with deterministic(0):
            start = now()
            done = train(
                model,
                (part, held_out),
                settings,
                pad_id=0,
                autocast=bench.compute,
                checkpoint=checkpoint,
                progress=clock,
            )
        # Half a gigabyte for an 8B, and there may be little room for many.
        checkpoint.unlink(missing_ok=True)
        each = (times[steps] - times[1]) / (steps - 1)
        return [len(tokens) for tokens in part.tokens], times[steps] - start, each, done.events

    _, _, each, _ = run(WARM)
    lengths, seconds, _, events = run(bounded(bench.scale.seconds / each, bench.scale.steps))
    return Speed(lengths, seconds, trained=True, note="; ".join(sorted({str(event["what"]) for event in events})))


def plain_training(bench: Bench, length: int, batch: int) -> Speed:
    """Train by ``transformers.Trainer`` with its default collator, texts in random order."""
    from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from embargo.models.loading.load import device, load_tokenizer
    from embargo.models.tuning.optimisers import resolve_optimizer

    settings = settings_of(bench, length, batch)
    model = adapted(bench, settings)
    least, most = bench.scale.steps
    part = samples(bench, drawn((WARM + most) * batch, length, 0), length, 0)
    padded = DataCollatorWithPadding(load_tokenizer(bench.made.base))
    seen: list[list[int]] = []
    times: dict[int, float] = {}

    def collate(rows: list[dict[str, Any]]) -> Any:
        seen.append([len(row["input_ids"]) for row in rows])
        return padded(rows)

    class Clock(TrainerCallback):
        last = WARM + most

        def on_step_end(self, args: Any, state: Any, control: Any, **_rest: Any) -> None:
            if state.global_step in (1, WARM, self.last):
                times[state.global_step] = now()
            if state.global_step == WARM:
                each = (times[WARM] - times[1]) / (WARM - 1)
                self.last = WARM + bounded(bench.scale.seconds / each, (least, most))
            control.should_training_stop = state.global_step >= self.last

    arguments = TrainingArguments(
        output_dir=str(bench.scratch("trainer")),
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=batch // MICRO_BATCH,
        num_train_epochs=1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="paged_adamw_8bit" if resolve_optimizer("auto", "qlora") == "paged_adamw_8bit" else "adamw_torch",
        bf16=bench.compute == "bf16",
        use_cpu=device().type == "cpu",
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    rows = [
        {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": int(label)}
        for tokens, label in zip(part.tokens, part.labels, strict=True)
    ]
    clock = Clock()
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    # The loader collates ahead, but in order: these are the batches of the timed steps.
    timed = seen[WARM * batch // MICRO_BATCH : clock.last * batch // MICRO_BATCH]
    return Speed([value for lengths in timed for value in lengths], times[clock.last] - times[WARM], trained=True)


def tuned(bench: Bench, length: int) -> Adapter:
    """Tune an adapter on the made base through the product's own door, once for all rows of scoring."""
    from embargo.models.tuning.adapters import tune

    if bench.adapter is None:
        shared: Any = bench.made
        texts = texts_of(drawn(24, length, 2), bench.made.shape, np.random.default_rng(2))
        labels = [number % 3 for number in range(len(texts))]
        bench.adapter = tune(
            bench.made.base,
            train_texts=texts[:16],
            train_labels=labels[:16],
            validation_texts=texts[16:],
            validation_labels=labels[16:],
            settings=settings_of(bench, length, MICRO_BATCH),
            trained_until=None,
            cache_dir=bench.folder,
            shared=shared,
        )
    return bench.adapter


def news(bench: Bench, length: int, count: int) -> tuple[list[str], list[int]]:
    lengths = drawn(count, length, 3)
    return texts_of(lengths, bench.made.shape, np.random.default_rng(3)), lengths


def naive_scoring(bench: Bench, length: int, weights: Literal["dense", "4bit"]) -> Speed:
    """Score in the order given, 32 texts padded to the longest of them, each batch fetched before the next."""
    import torch

    from embargo.models.loading.load import device, load_tokenizer
    from embargo.models.scorers.transformer import scoring_model

    shared: Any = bench.made
    model = scoring_model(bench.made.base, tuned(bench, length), bench.compute, weights=weights, shared=shared)
    tokenizer = load_tokenizer(bench.made.base)

    def score(texts: list[str]) -> float:
        start = now()
        with torch.inference_mode():
            for first in range(0, len(texts), NAIVE_ROWS):
                batch = tokenizer(
                    texts[first : first + NAIVE_ROWS],
                    padding=True,
                    truncation=True,
                    max_length=length,
                    return_tensors="pt",
                    return_token_type_ids=False,
                )
                model(**batch.to(device())).logits.float().cpu()
        return now() - start

    warm, _ = news(bench, length, 4 * NAIVE_ROWS)
    score(warm)
    rate = len(warm) / score(warm)
    # The product and the other precision score the same texts.
    bench.texts_scored = bench.texts_scored or bounded(rate * bench.scale.seconds, bench.scale.texts)
    texts, lengths = news(bench, length, bench.texts_scored)
    return Speed(lengths, score(texts), trained=False)


def product_scoring(bench: Bench, length: int, weights: Literal["dense", "4bit"]) -> Speed:
    """Score by the product's own scorer, as a run does with texts that its cache does not hold."""
    from embargo.models.scorers.score import cached_logits
    from embargo.models.scorers.transformer import TransformerScorer

    shared: Any = bench.made
    scorer = TransformerScorer(
        bench.made.base, tuned(bench, length), compute=bench.compute, weights=weights, shared=shared
    )
    texts, lengths = news(bench, length, bench.texts_scored or bench.scale.texts[0])
    cached_logits(scorer, texts[: 4 * NAIVE_ROWS])
    start = now()
    found = cached_logits(scorer, texts)
    seconds = now() - start
    # Texts that occur twice are scored once; they count once.
    note = "" if found.n_scored == len(texts) else f"{len(texts) - found.n_scored} texts repeated"
    return Speed(lengths, seconds, trained=False, note=note)


def flops(shape: Shape, speed: Speed) -> float:
    """Return the model FLOPs of texts; the benchmark's notes have the formula."""
    tokens = sum(speed.lengths)
    attention = 2 * shape.hidden * shape.layers * sum(value**2 for value in speed.lengths)
    if not speed.trained:
        return 2 * shape.linear * tokens + attention
    return (4 * shape.linear + 6 * shape.adapters(RANK)) * tokens + 3 * attention
