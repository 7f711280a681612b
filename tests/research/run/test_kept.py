"""Results that are looked up are those that would be computed, to the bit, and of the very same numbers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embargo.backtest.leakage import Finding
from embargo.data_loaders.checks import all_checks
from embargo.research import Quiet, load_config, prepare
from embargo.research.examples.shipped import example
from embargo.research.progress import Advance
from embargo.research.run import chance, kept
from embargo.research.run.data_verdict import DataVerdict, judge_data
from embargo.research.run.kept import Kept, content_hash
from embargo.research.run.plan import Plan, traded_news
from embargo.research.run.reading import read
from embargo.research.run.trading import Trade, trade

Made = tuple[Plan, Trade]
DAYS = pd.date_range("2024-01-01", periods=2, tz="UTC")


KINDS = ((["a", "b"], False), (["b", "a"], False), (["a", "b", "c"], False), (["a", "b"], True))


class Computed(Exception):  # noqa: N818 - no error: it is computed
    """Something is computed."""


def computed() -> Any:
    raise Computed


def made(cache: Path, *settings: str) -> Made:
    with example("small") as path:
        told = ["model.kind=lexicon", "execution.engine=kernel", "statistics.permutations=99", *settings]
        plan = prepare(load_config(path, told), Quiet())
    return plan, trade(plan, traded_news(plan, read(plan, plan.parts, cache, Quiet()).scored))


def shuffled(run: Made, folder: Path | None) -> dict[str, Any]:
    progress: Advance = Quiet().stage("")
    looked = None if folder is None else Kept(folder)
    return {name: asdict(found) for name, found in chance.shuffle_news(*run, progress, kept=looked).items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(chance, "permutation_test", lambda *_, **__: computed())


def test_shuffled_news_are_looked_up_to_the_bit(run: Made, tmp_path: Path, never: Callable[[], None]) -> None:
    plain, first = shuffled(run, None), shuffled(run, tmp_path)
    never()
    second = shuffled(run, tmp_path)
    assert len(plain) > 1
    np.testing.assert_equal(first, plain)
    np.testing.assert_equal(second, plain)
    assert all(type(found["p_value"]) is float for found in second.values())


@pytest.mark.parametrize(
    "setting",
    [
        "seed=1",
        "statistics.permutations=100",
        "statistics.block=7",
        "signal.half_life=2.5",
        "signal.threshold=0.55",
        "costs.fee=0.00051",
        "portfolio.gross=0.9",
        "portfolio.initial_cash=1000001",
        "execution.fill=close",
        "news.simulated.strength=1.01",
    ],
)
def test_another_setting_is_computed_anew(setting: str, run: Made, tmp_path: Path, never: Callable[[], None]) -> None:
    shuffled(run, tmp_path / "kept")
    other = made(tmp_path / "cache", setting)
    never()
    with pytest.raises(Computed):
        shuffled(other, tmp_path / "kept")


def test_another_price_view_or_program_is_computed_anew(
    run: Made, tmp_path: Path, never: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled(run, tmp_path)
    never()
    plan, result = run
    close = plan.world.prices.close.copy()
    close.iloc[plan.rows.stop - 2, 0] = np.nextafter(close.iloc[plan.rows.stop - 2, 0], np.inf)
    prices = replace(plan.world.prices, close=close)
    with pytest.raises(Computed):
        shuffled((replace(plan, world=replace(plan.world, prices=prices)), result), tmp_path)
    said = result.decision.evidence.numerator.copy()
    at = tuple(place[0] for place in np.nonzero(said))
    said[at] = np.nextafter(said[at], 0.0)
    evidence = replace(result.decision.evidence, numerator=said)
    with pytest.raises(Computed):
        shuffled((plan, replace(result, decision=replace(result.decision, evidence=evidence))), tmp_path)
    monkeypatch.setattr(kept, "code_hash", lambda: "another program")
    with pytest.raises(Computed):
        shuffled(run, tmp_path)


def test_the_program_is_hashed_to_its_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    (tmp_path / "signals").mkdir()
    monkeypatch.setattr("embargo.__path__", [str(tmp_path)])
    for name, text in (("a.py", "x = 1"), ("a.py", "x = 2"), ("words.csv", "good"), ("words.csv", "bad")):
        (tmp_path / "signals" / name).write_text(text)
        hashes.add(kept.code_hash.__wrapped__())
    (tmp_path / "signals" / "__pycache__").mkdir()
    (tmp_path / "signals" / "__pycache__" / "a.pyc").write_text("compiled")
    hashes.add(kept.code_hash.__wrapped__())
    assert len(hashes) == 4
    monkeypatch.setattr(kept, "version", lambda name: f"{name} of tomorrow")
    hashes.add(kept.code_hash.__wrapped__())
    assert len(hashes) == 5


FINDING = Finding(
    "D5",
    "suspicious",
    "No test text copies one of training",
    "2 of 7 do.",
    [{"text": "a\nb", "known_at": pd.Timestamp("2024-01-02 03:04:05.000006", tz="UTC"), "similarity": 0.1 + 0.2}],
    effect=2 / 7,
    interval=(0.1, float("nan")),
)


def test_a_finding_comes_back_as_it_was(tmp_path: Path) -> None:
    shelf = Kept(tmp_path)
    assert shelf.of("check", ["texts"], lambda: FINDING, Finding) is FINDING
    again = shelf.of("check", ["texts"], computed, Finding)
    assert repr(again) == repr(FINDING)
    assert content_hash(again) == content_hash(FINDING)
    for name, given in (("another check", ["texts"]), ("check", ["other texts"]), ("check", ["texts", 0])):
        with pytest.raises(Computed):
            shelf.of(name, given, computed, Finding)


@dataclass(frozen=True)
class Odd:
    held: Any


@dataclass(frozen=True)
class Strange(Odd):
    """Of no kind that was named."""


@pytest.mark.parametrize(
    "held",
    [{1, 2}, {1: "a"}, 1j, Strange(1), np.array(["a"], dtype=object), pd.Series([1.0]), pd.DataFrame({1: [object()]})],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_computed_each_time(held: Any, tmp_path: Path) -> None:
    shelf = Kept(tmp_path)
    assert shelf.of("odd", [], lambda: Odd(held), Odd).held is held
    assert not list(tmp_path.iterdir())
    with pytest.raises(Computed):
        shelf.of("odd", [], computed, Odd)


@pytest.mark.parametrize(
    "held",
    [
        {"a": [1, 2.5, None, ("b", True)]},
        np.float64(0.1),
        np.int64(3),
        np.array([[True, False]]),
        np.array([0.1, np.nan]),
        pd.DataFrame(),
        pd.DataFrame({"bar": DAYS, "text": ["a", "b"], "size": [0.1, np.nan]}),
        pd.DataFrame({"x": [1, 2]}, index=pd.Index([5, 7], name="shift")),
        pd.DataFrame(columns=["a", "b"]),
        Odd(pd.Timestamp("2024-01-01", tz="UTC").as_unit("ns")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_kept_comes_back_as_it_was(held: Any, tmp_path: Path) -> None:
    shelf = Kept(tmp_path)
    shelf.of("odd", [], lambda: Odd(held), Odd)
    assert content_hash(shelf.of("odd", [], computed, Odd)) == content_hash(Odd(held))


def test_a_damaged_file_is_computed_anew(tmp_path: Path) -> None:
    shelf = Kept(tmp_path)
    for spoil in (
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace("2 of 7", "0 of 7"),
        lambda whole: json.dumps({}) + whole,
    ):
        shelf.of("check", [], lambda: FINDING, Finding)
        (file,) = tmp_path.iterdir()
        file.write_text(spoil(file.read_text()))
        with pytest.raises(Computed):
            shelf.of("check", [], computed, Finding)
        assert repr(shelf.of("check", [], lambda: FINDING, Finding)) == repr(FINDING)


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    shelf = Kept(tmp_path / "file")
    assert shelf.of("check", [], lambda: FINDING, Finding) is FINDING


def test_content_is_told_apart() -> None:
    values: list[Any] = [
        None, "None", 0, 0.0, -0.0, False, float("nan"), np.float64(0.0), np.float32(0.0), [], (), {}, [[]], [None],
        ["ab", "c"], ["a", "bc"], np.array(["ab", "c"], dtype=object), np.array(["a", "bc"], dtype=object),
        {"a": 1}, {"a": 1.0}, {"a": {"b": 1}}, {"a": 1, "b": 1}, {"b": 1, "a": 1},
        np.zeros(2), np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(2, dtype=np.float32), np.zeros(2, dtype=int),
        pd.Series([1.0, 2.0]), pd.Series([1.0, 2.0], name="x"), pd.Series([1.0, 2.0], index=[1, 0]),
        pd.Series([1.0, 2.0], index=DAYS), pd.Series([1.0, 2.0], index=DAYS.tz_convert("Asia/Tokyo")),
        pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"y": [1.0, 2.0]}), pd.DataFrame({"x": [1, 2]}),
        pd.DataFrame({"x": [1.0, 2.0]}, index=DAYS), pd.DataFrame(index=DAYS), pd.DataFrame(index=DAYS[:1]),
        pd.DataFrame({"x": ["1", "2"]}), pd.Series(DAYS), pd.Series(DAYS.as_unit("s")), pd.Timestamp("2024", tz="UTC"),
        pd.Timestamp("2024"), pd.Timedelta("1D"), FINDING, replace(FINDING, effect=0.3), Odd(1), Odd("1"), Odd([1]),
        *(pd.Series(pd.Categorical(["a", "b"], kinds, ordered=ordered)) for kinds, ordered in KINDS),
    ]  # fmt: skip
    assert len({content_hash(value) for value in values}) == len(values)
    assert [content_hash(value) for value in values] == [content_hash(value) for value in values]


@pytest.mark.parametrize(
    "strange",
    [
        {1, 2},
        computed,
        partial(computed),
        Odd,
        pd.Series(["a", None], dtype=object),
        np.array([1, "a"], dtype=object),
        pd.Series([1.0], index=pd.MultiIndex.from_tuples([(1, 2)])),
        np.random.default_rng(1),
        np.ma.array([1.0, 2.0], mask=[False, True]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_hashed_is_refused(strange: Any) -> None:
    with pytest.raises(TypeError, match="cannot be hashed by its content"):
        content_hash([strange])


def judged(plan: Plan, folder: Path | None) -> DataVerdict:
    return judge_data(plan.config, plan.world, plan.parts, plan.rows, None if folder is None else Kept(folder))


def test_data_are_judged_once(run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = run
    plain, first = judged(plan, None), judged(plan, tmp_path)
    monkeypatch.setattr(all_checks, "check_prices", lambda *_, **__: computed())
    second = judged(plan, tmp_path)
    for found in (first, second):
        assert found.to_dict() == plain.to_dict()
        assert content_hash([found.checks, found.clock, found.period]) == content_hash(
            [plain.checks, plain.clock, plain.period]
        )
    world = plan.world
    low = world.prices.low.copy()
    low.iloc[plan.rows.start, 0] = np.nextafter(low.iloc[plan.rows.start, 0], 0.0)
    text = world.news.copy()
    text.loc[len(text) // 2, "text"] += " "
    others = (
        replace(plan, world=replace(world, prices=replace(world.prices, low=low))),
        replace(plan, world=replace(world, news=text)),
        replace(plan, world=replace(world, counts=world.counts | {"news": world.counts["news"] | {"read": 1}})),
        replace(plan, rows=slice(plan.rows.start, plan.rows.stop - 1)),
        replace(plan, config=plan.config.model_copy(update={"as_of": DAYS[0]})),
    )
    for other in others:
        with pytest.raises(Computed):
            judged(other, tmp_path)


def test_texts_are_hashed_as_they_are_however_they_lie() -> None:
    texts = pd.Series(["sales rose", None, "", "Gewinn fällt"], dtype="str")
    parted = pd.concat([texts[:1], texts[1:]])
    assert content_hash(parted) == content_hash(texts)
    assert content_hash(pd.concat([texts, texts])[2:6].reset_index(drop=True)) == content_hash(
        pd.Series(["", "Gewinn fällt", "sales rose", None], dtype="str")
    )
    others = [texts.fillna(""), texts[::-1].reset_index(drop=True), pd.Series(["sales ros", None, "e", "Gewinn fällt"])]
    assert len({content_hash(each) for each in [texts, *others]}) == 4
