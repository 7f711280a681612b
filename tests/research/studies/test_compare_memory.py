"""What a comparison says of memory, for every kind of reader: by what it brings along, never by its kind alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples.finished_runs import made, noise

from embargo.research.studies.compare.comparison import compare
from embargo.research.studies.compare.memory import memory_sentences

BEFORE, FITTED, INSIDE = (f"{day}T00:00:00+00:00" for day in ("2018-06-30", "2018-12-31", "2019-06-30"))
LINEAR = '[model]\nkind = "linear"\n', [{"kind": "linear", "base": None, "base_knowledge_cutoff": None}]


def reader(kind: str, until: str | None, *, base: str | None = None, fitted: str | None = FITTED, more: str = ""):
    """Return a model section and what its fold leaves."""
    told = {"kind": kind, "base": base, "base_knowledge_cutoff": until, "trained_until": fitted}
    return f"[model]\nkind = {json.dumps(kind)}\n{more}", [told]


def said_of(folder: Path, *readers: tuple[str, list[dict[str, object]]]) -> list[str]:
    folders = []
    for number, (returns, (section, models)) in enumerate(zip(noise(0, n=120), readers, strict=True)):
        run = made(folder / f"run{number}", returns)
        (run / "config.toml").write_text((run / "config.toml").read_text() + section)
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(manifest | {"models": models}))
        folders.append(run)
    return memory_sentences(compare(folders))


def distilled(teacher: str, until: str | None, student: str = "linear"):
    more = f'[model.distill]\nstudent = "{student}"\nteacher = {{ kind = "{teacher}" }}\n'
    return reader("distilled", until, base=f"taught by {teacher}", more=more)


@pytest.mark.parametrize(
    ("knows", "words"),
    [
        (reader("scores", INSIDE), "takes scores made elsewhere, and whoever made them has read until 2019-06-30"),
        (reader("prompted", INSIDE, base="a-decoder"), "starts from a-decoder, and it has read until 2019-06-30"),
        (reader("endpoint", INSIDE, base="gpt-x"), "asks gpt-x, and it has read until 2019-06-30"),
        (reader("endpoint", None, base="gpt-x"), "asks gpt-x, and nobody says until when it has read"),
        (distilled("endpoint", INSIDE), "is distilled (taught by endpoint), and it has read until 2019-06-30"),
        (distilled("linear", None, "transformer"), "nobody says until when"),
        (reader("transformer", INSIDE, base="today"), "starts from today, and it has read until 2019-06-30"),
        (reader("my_package.mine:READER", None), "nobody says until when"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_reader_that_may_remember_the_test_is_told_whatever_its_kind(tmp_path, knows, words, first):
    (said,) = said_of(tmp_path, *((knows, LINEAR) if first else (LINEAR, knows)))
    one, other = ("run0", "run1") if first else ("run1", "run0")
    assert f"{other} knows only what each fold was fitted on; {one} " in said
    assert words in said
    assert f"The Sharpe ratio of {one} less that of {other}" in said
    assert "does not measure memory alone" in said
    assert "model." not in said


@pytest.mark.parametrize(
    "knows_not",
    [
        LINEAR,
        reader("scores", BEFORE),
        reader("prompted", BEFORE, base="old"),
        reader("endpoint", BEFORE, base="old"),
        distilled("scores", BEFORE),
        distilled("linear", None),
        # What a later fold brings along may end within the tests of earlier ones, as what it was fitted on does.
        reader("own.mine:READER", INSIDE, fitted=INSIDE),
    ],
)
def test_a_reader_that_cannot_remember_the_test_is_not_doubted(tmp_path, knows_not):
    assert said_of(tmp_path, LINEAR, knows_not) == []


def test_of_two_that_may_remember_neither_is_a_measure_of_the_other(tmp_path):
    one, other = reader("endpoint", INSIDE, base="gpt-x"), reader("scores", None)
    (said,) = said_of(tmp_path / "two", one, other)
    assert "Either may remember the test" in said
    assert said_of(tmp_path / "same", one, one) == []


def test_scores_that_end_before_the_test_share_no_memory_with_dated_vintages(tmp_path):
    dated = reader("prompted", BEFORE, base="v", more='base = { 2018-06-30 = "v" }\n')
    (said,) = said_of(tmp_path / "before", dated, reader("scores", BEFORE))
    assert "memory of the test has no part" in said
    (said,) = said_of(tmp_path / "inside", dated, reader("scores", INSIDE))
    assert "starts each fold from a vintage" in said
