"""A record says what a fit read, whatever it was asked to read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.model_samples import CUTOFF

from embargo.models import fitting
from embargo.models.content import text_hash, write_manifest
from embargo.models.fitting import fit_scorer
from embargo.models.methods.settings import TuneSettings
from embargo.models.record import (
    RECORD,
    RECORD_COLUMNS,
    SampleRead,
    dated_record,
    read_record,
    read_whole,
    samples_read,
    write_record,
)
from embargo.models.scorers.kind import Fit, ScorerKind
from embargo.models.tuning.adapters import open_adapter

DAY = pd.Timedelta(days=1)
SAMPLES = st.lists(st.tuples(st.sampled_from(["up", "down", "flat, but wide", ""]), st.integers(0, 2)), max_size=12)


def frame(samples: list[tuple[str, int]], start: pd.Timestamp) -> pd.DataFrame:
    known_at = [start + i * DAY for i in range(len(samples))]
    made = pd.DataFrame(samples, columns=["text", "label"]).assign(known_at=known_at, ends_at=known_at)
    return made.astype({"known_at": "datetime64[us, UTC]", "ends_at": "datetime64[us, UTC]", "label": "int64"})


# Four texts and three labels leave few ways for samples to be alike, and each example makes six frames.
@settings(max_examples=40)
@given(train=SAMPLES, validation=SAMPLES)
def test_every_sample_that_was_handed_over_gets_its_own_instant(train, validation) -> None:
    parts = frame(train, CUTOFF), frame(validation, CUTOFF + 90 * DAY)
    read = [
        *samples_read("optimiser", *(parts[0][name].tolist() for name in ("text", "label"))),
        *samples_read("stopping", *(parts[1][name].tolist() for name in ("text", "label"))),
        *samples_read("calibration", *(parts[1][name].tolist() for name in ("text", "label"))),
    ]
    record = dated_record(read, *parts)
    assert tuple(record.columns) == RECORD_COLUMNS
    for use, part in zip(("optimiser", "stopping", "calibration"), (*parts, parts[1]), strict=True):
        own = record[record["use"] == use]
        wanted = Counter(zip(part["text"].map(text_hash), part["label"], part["known_at"], strict=True))
        assert Counter(zip(own["text_hash"], own["label"], own["known_at"], strict=True)) == wanted


def test_what_was_not_handed_over_has_no_instant() -> None:
    train = frame([("up", 2)], CUTOFF)
    record = dated_record(samples_read("optimiser", ["up", "up", "down"], [2, 2, 2]), train, train.iloc[:0])
    assert record["known_at"].notna().sum() == 1
    assert record.loc[record["known_at"].notna(), "text_hash"].tolist() == [text_hash("up")]
    undated = dated_record(samples_read("optimiser", ["up"], [2]), train[["text", "label"]], train.iloc[:0])
    assert undated["known_at"].isna().all()


@settings(max_examples=25)
@given(SAMPLES.filter(bool))
def test_a_part_that_was_read_whole_is_recorded_as_sample_by_sample(samples) -> None:
    part = frame(samples, CUTOFF).drop(columns="label")
    read = samples_read("threshold", part["text"].tolist(), [-1] * len(part))
    expected = dated_record(read, part.assign(label=-1), part.iloc[:0])
    pd.testing.assert_frame_equal(read_whole("threshold", part), expected, check_exact=True)


@given(SAMPLES)
def test_a_record_is_read_back_as_it_was_written(samples) -> None:
    from tempfile import TemporaryDirectory

    read = samples_read("stopping", [text for text, _ in samples], [label for _, label in samples])
    with TemporaryDirectory() as folder:
        assert read_record(Path(folder)) is None
        write_record(Path(folder), read[::-1])
        assert read_record(Path(folder)) == read


@pytest.mark.parametrize("kind", ["lexicon", "linear", "transformer"])
def test_every_kind_writes_down_what_it_read(kind, samples, cache_dir, tiny_base) -> None:
    extra = {"base": tiny_base, "settings": TuneSettings(epochs=1, max_length=32)} if kind == "transformer" else {}
    given = {"train": samples["train"], "validation": samples["validation"], "trained_until": CUTOFF}
    record = fit_scorer(kind, cache_dir=cache_dir, **given, **extra).fitted_on
    uses = {"lexicon": ["calibration"], "linear": ["calibration", "optimiser"]}
    assert sorted(record["use"].unique()) == uses.get(kind, ["calibration", "optimiser", "stopping"])
    for use, part in (("optimiser", "train"), ("stopping", "validation"), ("calibration", "validation")):
        own = record[record["use"] == use]
        if use in uses.get(kind, record["use"].unique()):
            assert Counter(own["text_hash"]) == Counter(samples[part]["text"].map(text_hash))
    # Found in the cache it says the same.
    again = fit_scorer(kind, cache_dir=cache_dir, **given, **extra).fitted_on
    pd.testing.assert_frame_equal(record, again)


@pytest.mark.parametrize("kind", ["linear", "transformer"])
def test_a_fit_that_is_handed_more_than_it_was_asked_for_says_so(
    kind, samples, cache_dir, tiny_base, monkeypatch
) -> None:
    secret = "the secret of tomorrow is here"
    honest = fitting.KINDS[kind].fit

    def greedy(request):
        from dataclasses import replace

        more = replace(request, train_texts=[*request.train_texts, secret], train_labels=[*request.train_labels, 2])
        return honest(more)

    kinds = {**fitting.KINDS, kind: ScorerKind(greedy, fitting.KINDS[kind].settings, fitting.KINDS[kind].needs_base)}
    monkeypatch.setattr(fitting, "KINDS", kinds)
    extra = {"base": tiny_base, "settings": TuneSettings(epochs=1, max_length=32)} if kind == "transformer" else {}
    record = fit_scorer(
        kind,
        train=samples["train"],
        validation=samples["validation"],
        trained_until=CUTOFF,
        cache_dir=cache_dir,
        **extra,
    ).fitted_on
    planted = record[record["text_hash"] == text_hash(secret)]
    assert planted["use"].tolist() == ["optimiser"]
    assert planted["known_at"].isna().all()


def test_a_kind_that_keeps_no_record_has_none(samples, cache_dir, monkeypatch) -> None:
    honest = fitting.KINDS["linear"].fit

    def silent(request) -> Fit:
        return Fit(honest(request).scorer, trained_on=request.train_texts, cutoff_source="not said")

    monkeypatch.setattr(
        fitting, "KINDS", {**fitting.KINDS, "linear": ScorerKind(silent, fitting.KINDS["linear"].settings)}
    )
    model = fit_scorer(
        "linear", train=samples["train"], validation=samples["validation"], trained_until=CUTOFF, cache_dir=cache_dir
    )
    assert model.fitted_on is None


def test_an_adapter_kept_without_a_record_has_none(samples, cache_dir, tiny_base) -> None:
    given = {"train": samples["train"], "validation": samples["validation"], "trained_until": CUTOFF}
    settings = TuneSettings(epochs=1, max_length=32, seed=5)
    model = fit_scorer("transformer", cache_dir=cache_dir, base=tiny_base, settings=settings, **given)
    folder = cache_dir / "adapters" / model.manifest["adapter"]
    adapter = open_adapter(folder)
    assert {sample.use for sample in adapter.read} == {"optimiser", "stopping"}
    assert all(isinstance(sample, SampleRead) for sample in adapter.read)
    (folder / RECORD).unlink()
    write_manifest(folder, {name: value for name, value in adapter.manifest.items() if name != "files"})
    older = fit_scorer("transformer", cache_dir=cache_dir, base=tiny_base, settings=settings, **given)
    assert (older.manifest["adapter"], older.fitted_on) == (folder.name, None)


# The second part is looked at only where the first has not all of them, and must then number copies as if always.
@settings(max_examples=60)
@given(train=SAMPLES, validation=SAMPLES, also=SAMPLES)
def test_samples_of_either_part_are_found_as_among_both(train, validation, also) -> None:
    first, second = frame(validation, CUTOFF + 90 * DAY), frame(train, CUTOFF)
    samples = [*validation, *also]
    read = samples_read("calibration", *([sample[place] for sample in samples] for place in (0, 1)))
    found = dated_record(read, second, first)
    handed = [
        (text_hash(text), label, at)
        for text, label, at in zip(
            [*first["text"], *second["text"]],
            [*first["label"], *second["label"]],
            [*first["known_at"], *second["known_at"]],
            strict=True,
        )
    ]
    left: dict[tuple[str, int], list[pd.Timestamp]] = {}
    for name, label, at in handed:
        left.setdefault((name, label), []).append(at)
    wanted = [left[one.text_hash, one.label].pop(0) if left.get((one.text_hash, one.label)) else pd.NaT for one in read]
    assert found["text_hash"].tolist() == [one.text_hash for one in read]
    assert [str(at) for at in found["known_at"]] == [str(at) for at in wanted]
