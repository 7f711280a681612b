"""Measure tuning and scoring of an 8-billion-parameter decoder on one GPU.

Run by ``python -m embargo.research.benchmarks.gpu``. It needs no hub and no data, takes less than eight minutes and
prints one table; every ratio is to a plain peer in the same run (a ``transformers.Trainer`` loop; unsorted batches of
32). What does not fit the GPU or the time is said in its row and the others go on. It needs torch with CUDA,
transformers, peft, bitsandbytes, accelerate, pandas and pandera.

``--device cpu --tiny`` runs all of it with a very small model, to try the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from embargo.research.benchmarks.gpu_base import LLAMA_8B, TINY, MadeBase, Shape
from embargo.research.benchmarks.gpu_rows import (
    FULL,
    SMALL,
    Bench,
    Speed,
    flops,
    naive_scoring,
    plain_training,
    product_scoring,
    product_training,
)

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "numpy", "pandas")
# Dense bf16 tensor-core rates with fp32 accumulation by the makers' data sheets, TFLOP/s. The first match counts.
PEAKS = (
    ("B200", 2250),
    ("H200 NVL", 836),
    ("H200", 989),
    ("GH200", 989),
    ("H100 PCIe", 756),
    ("H100 NVL", 835),
    ("H100", 989),
    ("A100", 312),
    ("A40", 150),
    ("A6000", 155),
    ("A10G", 70),
    ("A10", 125),
    ("L40S", 362),
    ("L40", 181),
    ("L4", 121),
    ("RTX 5090", 210),
    ("RTX 4090", 165),
    ("RTX 3090", 71),
)
FULL_TEXTS, LARGE_STEPS, SMALL_STEPS = (
    "tuning, 8 full texts a step",
    "tuning, 32 texts a step",
    "tuning, 8 texts a step",
)
MEMORY_GOAL, TRAINING_GOAL, SCORING_GOAL = 7.0, 1.5, 3.0


@dataclass(frozen=True)
class Row:
    """A row of the table; what was not measured is None.

    Attributes
    ----------
    part, way, length
        What was done, by whom, and to how many tokens texts were cut.
    tokens_per_s, texts_per_s : float
        Real tokens and texts, padding not counted.
    mfu : float
        Share of the GPU's peak; see `NOTES`.
    peak_gb : float
        Largest memory allocated in the row, base included, in 10^9 bytes.
    ratio : float
        Texts or tokens per second over those of the plain peer in the same run.
    note : str
        What was not measured and why.
    """

    part: str
    way: str
    length: int
    tokens_per_s: float | None = None
    texts_per_s: float | None = None
    mfu: float | None = None
    peak_gb: float | None = None
    ratio: float | None = None
    note: str = ""


NOTES = (
    "tokens/s and texts/s count real tokens, not padding. Lengths are lognormal, median 3/16 of the cut, seeded.",
    "MFU = model FLOPs / seconds / peak. A token costs 2 FLOPs a linear weight forward and 2 backward (frozen weights",
    "  get no gradient) and 6 an adapter weight; causal attention costs 2 x hidden x layers x length^2 a text forward",
    "  and 3 times that in training. What checkpointing computes twice counts once.",
    "A step is as many texts on both sides: Trainer adds up the gradients of padded batches of 8; the product's own",
    "  loop (embargo.models.tuning.adapters, embargo.models.tuning.loop) has a micro-batch of 8.",
    "Model, adapters, optimiser, checkpointing and precision are the same on both sides.",
    "Memory is torch.cuda.max_memory_allocated in 10^9 bytes, the bf16 embedding included (a classifier has no output",
    "  embedding), the moments that the optimiser pages not (2 bytes an adapter weight).",
)


def measured(bench: Bench, row: Row, peak: float | None, work: Callable[[], Speed]) -> Row:
    """Run a row in memory of its own; what goes wrong is said in its note."""
    import torch

    from embargo.data_loaders.errors import EmbargoError

    on_gpu = torch.cuda.is_available()
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        speed = work()
    except torch.OutOfMemoryError:
        return replace(row, note="out of memory")
    except EmbargoError as failure:
        return replace(row, note="out of memory" if "out of memory" in str(failure) else first_line(failure))
    except Exception as failure:  # a row that fails must not take the others with it
        return replace(row, note=f"failed: {first_line(failure)}")
    total = flops(bench.made.shape, speed)
    return replace(
        row,
        tokens_per_s=sum(speed.lengths) / speed.seconds,
        texts_per_s=len(speed.lengths) / speed.seconds,
        mfu=None if peak is None else total / speed.seconds / (peak * 1e12),
        peak_gb=torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
        note=speed.note,
    )


def first_line(failure: Exception) -> str:
    return f"{type(failure).__name__}: {str(failure).strip().splitlines()[0] if str(failure).strip() else ''}"[:160]


Plan = tuple[Row, Callable[[], Speed]]


def plans(bench: Bench, lengths: tuple[int, int]) -> Iterator[Plan]:
    """Yield the rows to measure, those of the goals first; a product's row follows its plain peer."""
    short = lengths[0]
    yield Row(FULL_TEXTS, "product", short), partial(product_training, bench, short, 8, full=True)
    for length in lengths:
        yield Row(LARGE_STEPS, "plain", length), partial(plain_training, bench, length, 32)
        yield Row(LARGE_STEPS, "product", length), partial(product_training, bench, length, 32)
    precisions: tuple[tuple[Literal["dense", "4bit"], str], ...] = (
        ("dense", f"scoring, merged, {bench.compute}"),
        ("4bit", "scoring, unmerged, 4-bit"),
    )
    for weights, part in precisions:
        yield Row(part, "plain", short), partial(naive_scoring, bench, short, weights)
        yield Row(part, "product", short), partial(product_scoring, bench, short, weights)
    yield Row(SMALL_STEPS, "plain", short), partial(plain_training, bench, short, 8)
    yield Row(SMALL_STEPS, "product", short), partial(product_training, bench, short, 8)


def all_rows(bench: Bench, lengths: tuple[int, int], peak: float | None, minutes: float, began: float) -> list[Row]:
    """Measure row after row; those for which the time no longer suffices are left out and say so."""
    rows: list[Row] = []
    longest = 0.0
    for row, work in plans(bench, lengths):
        start = time.perf_counter()
        if start - began + longest > 60 * minutes:
            rows.append(replace(row, note=f"skipped: {minutes:g} minutes would not suffice"))
            continue
        rows.append(with_ratio(measured(bench, row, peak, work), rows))
        longest = max(longest, time.perf_counter() - start)
        # Should the run be killed, what was measured is known.
        print(printed(rows[-1:]).splitlines()[1], file=sys.stderr, flush=True)
    return rows


def with_ratio(row: Row, earlier: Sequence[Row]) -> Row:
    """Return a product's row with its ratio to the plain one of the same part and length, where both were measured."""
    peers = [other for other in earlier if (other.part, other.length, other.way) == (row.part, row.length, "plain")]
    if row.way == "plain" or not peers or not row.tokens_per_s or not peers[0].tokens_per_s:
        return row
    return replace(row, ratio=row.tokens_per_s / peers[0].tokens_per_s)


def goals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return each goal with its figure and whether it was met, None where it was not measured."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if row.way != "product" or row.part == SMALL_STEPS:
            continue
        if row.part == FULL_TEXTS:
            met = None if row.peak_gb is None else row.peak_gb < MEMORY_GOAL
            what = f"peak memory of a tuning at 8 x {row.length} under {MEMORY_GOAL:g} GB"
            found.append({"goal": what, "figure": row.peak_gb, "met": met})
            continue
        least = TRAINING_GOAL if row.part.startswith("tuning") else SCORING_GOAL
        what = f"{row.part}, up to {row.length} tokens: at least {least:g} x plain"
        found.append({"goal": what, "figure": row.ratio, "met": None if row.ratio is None else row.ratio >= least})
    return found


def merged_against_plain(rows: Sequence[Row]) -> float | None:
    """Return how many times faster a tuned adapter is scored than without merging, sorting and dynamic batches."""
    speeds = {(row.part.split(",")[1].strip(), row.way): row.texts_per_s for row in rows if row.texts_per_s is not None}
    if ("merged", "product") not in speeds or ("unmerged", "plain") not in speeds:
        return None
    return speeds["merged", "product"] / speeds["unmerged", "plain"]


def peak_of(name: str) -> float | None:
    return next((float(peak) for known, peak in PEAKS if known in name), None)


def head(device_name: str, shape: Shape, peak: float | None) -> dict[str, str]:
    """Return what the figures depend on."""
    import torch

    described = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            described[package] = "not installed"
    return described | {
        "cuda": str(torch.version.cuda),
        "driver": driver(),
        "device": device_name,
        "peak bf16 TFLOP/s": "unknown" if peak is None else f"{peak:g}",
        "model": (
            f"{shape.name}: hidden {shape.hidden}, {shape.layers} layers, {shape.heads} heads, {shape.kv_heads} KV "
            f"heads, MLP {shape.intermediate}, vocabulary {shape.vocabulary}, three classes; random NF4 weights "
            f"with double quantisation ({(shape.linear + shape.embedded) / 1e9:.2f} billion), r=16 on all linear layers"
        ),
    }


def driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    return answer.stdout.strip().splitlines()[0] if answer.returncode == 0 and answer.stdout.strip() else "unknown"


def printed(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    titles = ("what", "way", "cut", "tokens/s", "texts/s", "MFU", "peak GB", "x plain", "note")
    lines = [titles]
    for row in rows:
        figures = (
            f"{row.tokens_per_s:,.0f}" if row.tokens_per_s is not None else "-",
            f"{row.texts_per_s:,.1f}" if row.texts_per_s is not None else "-",
            f"{row.mfu:.1%}" if row.mfu is not None else "-",
            f"{row.peak_gb:.2f}" if row.peak_gb is not None else "-",
            f"{row.ratio:.2f}" if row.ratio is not None else "-",
        )
        lines.append((row.part, row.way, str(row.length), *figures, row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in (0, 1, 8) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def obstacle(on_cpu: bool, tiny: bool) -> str | None:
    """Return why the benchmark cannot run here, None where it can."""
    try:
        import accelerate  # noqa: F401
        import bitsandbytes as bnb
        import peft  # noqa: F401
        import torch
        import transformers  # noqa: F401
    except ImportError as failure:
        return f"{failure}. Install {', '.join(PACKAGES)} and pandera."
    if on_cpu:
        return None if tiny else "eight billion weights take hours on a CPU: add --tiny, or run it on a GPU."
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA GPU. Try --device cpu --tiny, or install a CUDA build of torch."
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name(0)} does not multiply in bf16."
    try:
        weight = torch.ones(64, 64, device="cuda", dtype=torch.bfloat16)
        packed, state = bnb.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        bnb.functional.dequantize_4bit(packed, state)
        torch.cuda.synchronize()
    except Exception as failure:  # a build without kernels raises what it likes
        return (
            f"bitsandbytes {bnb.__version__} has no kernels for this GPU with CUDA {torch.version.cuda} "
            f"({first_line(failure)}). Install a build for it."
        )
    return None


@contextmanager
def quieter() -> Iterator[None]:
    """Keep libraries' warnings out of the table's way."""
    import warnings

    from embargo.models.loading.load import quiet

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 also where a goal is missed, 1 where it cannot run or a row failed for no known reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a very small model, to try the script")
    parser.add_argument("--minutes", type=float, default=8.0, help="rows that would take longer are skipped")
    parser.add_argument("--json", type=Path, help="write rows and goals here too")
    chosen = parser.parse_args(arguments)
    began = time.perf_counter()
    # One GPU, whatever the machine has: Trainer would spread over all it sees. Before torch looks.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if chosen.device == "cpu" else visible
    os.environ["HF_HUB_OFFLINE"] = "1"
    reason = obstacle(chosen.device == "cpu", chosen.tiny)
    if reason is not None:
        print(f"gpu benchmark: {reason}", file=sys.stderr)
        return 1
    import torch

    on_cpu = chosen.device == "cpu"
    shape, scale = (TINY, SMALL) if chosen.tiny else (LLAMA_8B, FULL)
    name = "CPU" if on_cpu else torch.cuda.get_device_name(0)
    peak = None if on_cpu else peak_of(name)
    described = head(name, shape, peak)
    print("\n".join(f"{key}: {value}" for key, value in described.items()), flush=True)
    compute: Literal["fp32", "bf16"] = "fp32" if on_cpu else "bf16"
    with tempfile.TemporaryDirectory() as folder, quieter():
        try:
            made = MadeBase(shape, Path(folder) / "base", compute)
        except torch.OutOfMemoryError:
            print(f"gpu benchmark: the model's own weights do not fit {name}.", file=sys.stderr)
            return 1
        bench = Bench(made, scale, compute, Path(folder))
        rows = all_rows(bench, (32, 64) if chosen.tiny else (128, 512), peak, chosen.minutes, began)
    judged = goals(rows)
    print(f"\n{printed(rows)}\n")
    for goal in judged:
        figure = "" if goal["figure"] is None else f" ({goal['figure']:.2f})"
        print(f"{ {True: 'met', False: 'missed', None: 'not measured'}[goal['met']] }: {goal['goal']}{figure}")
    if (times := merged_against_plain(rows)) is not None:
        print(f"merged weights scored by the product, against plain batches through unmerged ones: {times:.2f} x")
    if chosen.tiny:
        print("The goals are set for the 8B on a GPU; of a tiny model they say nothing.")
    print("\n" + "\n".join(NOTES))
    minutes = (time.perf_counter() - began) / 60
    print(f"\n{minutes:.1f} minutes")
    if chosen.json is not None:
        report = {"head": described, "rows": [asdict(row) for row in rows], "goals": judged, "minutes": minutes}
        chosen.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 1 if any(row.note.startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
