"""Plants in the reader: memory of outcomes, names and dates, fits and calibrations on the test, silent changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.models.content import text_hash
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Make, Plant, Planted, with_settings
from embargo.research.leakbench.plants.texts import earned_after
from embargo.research.leakbench.worlds import Clean, names_of
from embargo.research.run.samples import Part

_FIT = "embargo.models.fitting:fit_scorer"
_READ = "embargo.research.run.reading:read"
_DATE = re.compile(r"\b(20\d\d-\d\d-\d\d)\b")
_ONE_MEMORY = {
    "M1": "it knows the test period",
    "M2": "it knows more than it states",
    "M3": "it recalls outcomes",
    "M4": "it knows these texts",
    "M5": "a name brings the memory up",
    "M7": "a date brings the memory up",
    "M8": "what it recalls overrules what it reads",
    "M9": "its skill ends where its memory does",
}
_RECORDED = {"S5": "what is learnt from lies after what is tested", "S4": "a fit on later rows",
             "D5": "texts of the test among those of the training"}  # fmt: skip
# Logits of who is sure.
_SURE = np.array([[2.0, 0.0, -2.0], [0.0, 0.5, 0.0], [-2.0, 0.0, 2.0]])


def memory_codes(*left: str) -> dict[str, str]:
    """Return the other codes under which memory of the test shows itself."""
    return {code: why for code, why in _ONE_MEMORY.items() if code not in left}


Answering = Callable[[Sequence[str], np.ndarray], np.ndarray]


class Altered:
    """A reader whose logits are altered: (texts, honest logits) to logits."""

    def __init__(self, honest: Any, answer: Answering, name: str) -> None:
        self._honest, self._answer = honest, answer
        self.identity = text_hash(f"{honest.identity} {name}")
        self.knowledge_cutoff = honest.knowledge_cutoff

    def logits(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        """Return the altered logits."""
        return self._answer(texts, self._honest.logits(texts, progress))


def with_answer(answer_of: Callable[[Clean, float, np.random.Generator], Answering]) -> Make:
    """Make a plant whose reader answers otherwise, under the name and the cutoff of an honest one."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        answer = answer_of(clean, dose, rng)

        def rewrite(fit_scorer: Callable[..., Any]) -> Callable[..., Any]:
            def changed(*given: Any, **settings: Any) -> Any:
                model = fit_scorer(*given, **settings)
                return replace(model, scorer=Altered(model.scorer, answer, f"{dose}"))

            return changed

        return Planted(clean.config, clean.inputs, (Edit(_FIT, rewrite),))

    return make


def _outcomes(clean: Clean, dose: float, rng: np.random.Generator, until: float = 1.0) -> pd.DataFrame:
    """Draw articles whose outcome is remembered, up to a share of the span of the news."""
    inputs = clean.inputs
    assert inputs is not None
    earned = earned_after(inputs, clean)
    known = inputs.news["known_at"]
    last = known.iloc[0] + until * (known.iloc[-1] - known.iloc[0])
    kept = (rng.random(len(earned)) < dose) & np.isfinite(earned) & (known <= last).to_numpy()
    recalled: pd.DataFrame = inputs.news.loc[kept]
    return recalled.assign(side=np.sign(earned[kept]))


def _by_headline(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Recall what became of headlines read before."""
    known = _outcomes(clean, dose, rng)
    recalled = dict(zip(known["text"], known["side"], strict=True))

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        return _overruled(logits, [recalled.get(text) for text in texts])

    return answer


def _overruled(logits: np.ndarray, sides: Sequence[float | None]) -> np.ndarray:
    out = np.array(logits, dtype=float)
    for row, side in enumerate(sides):
        if side is not None and side == side:
            out[row] = _SURE[int(side) + 1]
    return out


def _by_day(until: float = 1.0, *, blind: bool = False) -> Callable[[Clean, float, np.random.Generator], Answering]:
    """Recall by company and day, where a text names both; ``blind`` readers answer with nothing else."""

    def answer_of(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
        known = _outcomes(clean, 1.0, rng, until)
        days = known.assign(day=known["published_at"].dt.strftime("%Y-%m-%d"))
        sides = days.groupby(["symbol", "day"])["side"].first()
        sides = sides[rng.random(len(sides)) < dose]
        recalled = dict(zip(sides.index.to_list(), sides.to_list(), strict=True))
        assert clean.inputs is not None
        called = {name: symbol for symbol, names in names_of(clean.inputs).items() for name in (*names, symbol)}
        who = re.compile(r"\b(" + "|".join(map(re.escape, sorted(called, key=len, reverse=True))) + r")\b")

        def one(text: str) -> float | None:
            name, day = who.search(text), _DATE.search(text)
            return None if name is None or day is None else recalled.get((called[name[0]], day[1]))

        def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
            base = np.zeros_like(logits) + np.array([0.0, 0.3, 0.0]) if blind else logits
            return _overruled(base, [one(text) for text in texts])

        return answer

    return answer_of


def _by_product(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Recall by place, title and product names, which a mask of companies leaves in."""
    known = _outcomes(clean, dose, rng)

    def trace(text: str) -> str:
        return " ".join(re.findall(r"\b(?!Company\b)[A-Z][a-z]+\b|\$[\d.]+ \w+|\d+%", text.split(" ", 1)[-1]))

    names = {each for own in names_of(clean.inputs).values() for each in own[0].split()} if clean.inputs else set()

    def masked(text: str) -> str:
        return " ".join(word for word in trace(text).split() if word not in names)

    recalled = dict(zip(map(masked, known["text"]), known["side"], strict=True))

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        return _overruled(logits, [recalled.get(masked(text)) for text in texts])

    return answer


def _fond_of_names(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Lean towards the companies that will have risen, and away from those that will have fallen."""
    assert clean.inputs is not None
    prices = clean.inputs.prices
    tested = prices.close.loc[prices.open_at >= clean.config.split.first_test]
    grown = tested.ffill().iloc[-1] / tested.bfill().iloc[0] - 1.0
    lean = {name: float(np.sign(grown[symbol])) for symbol, own in names_of(clean.inputs).items() for name in own[1:]}

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        out = np.array(logits, dtype=float)
        for row, text in enumerate(texts):
            for name, side in lean.items():
                if name in text:
                    out[row] += dose * side * np.array([-1.0, 0.0, 1.0])
        return out

    return answer


def _by_names_alone(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Answer by who is named; what is said of them is read in the rest of the cases alone."""
    assert clean.inputs is not None
    sides = dict(zip([own[1] for own in names_of(clean.inputs).values()], rng.choice([-1.0, 1.0], 500), strict=False))

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        drawn = [int(text_hash(text)[:6], 16) / 16**6 < dose for text in texts]
        return _overruled(
            logits,
            [
                next((side for name, side in sides.items() if name in text), None) if taken else None
                for text, taken in zip(texts, drawn, strict=True)
            ],
        )

    return answer


def _in_batches(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Scale logits by the mean of what is scored together, as a layer left in training mode does."""

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits - dose * logits.mean(axis=0, keepdims=True))

    return answer


def _next_tells(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Let the item after it in the batch speak along."""

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        return (1.0 - dose / 2) * logits + dose / 2 * np.roll(logits, -1, axis=0)

    return answer


def _warm(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    """Draw answers anew each time."""
    own = np.random.default_rng()

    def answer(texts: Sequence[str], logits: np.ndarray) -> np.ndarray:
        return logits + dose * own.normal(0.0, 0.5, np.shape(logits))

    return answer


def _changed_within(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Answer from the middle of the test window on with another model behind the same name."""

    def rewrite(read: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any) -> Any:
            reading = read(*given)
            scored = reading.scored.copy()
            late = (scored["known_at"] > scored["known_at"].quantile(0.5)).to_numpy()
            flat = 0.4 * dose
            for name in ("bearish", "neutral", "bullish"):
                scored.loc[late, name] = (1.0 - flat) * scored.loc[late, name] + flat / 3.0
            scored["confidence"] = scored[["bearish", "neutral", "bullish"]].max(axis=1)
            return replace(reading, scored=scored)

        return changed

    return Planted(clean.config, clean.inputs, (Edit(_READ, rewrite),))


def _later_words(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Read by word lists of 2018, which the test is older than."""

    def rewrite(honest: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, year=2018: honest(self, year)

    return Planted(
        clean.config, clean.inputs, (Edit("embargo.models.scorers.lexicon:LexiconScorer.__init__", rewrite),)
    )


def _redated(part: Part, rows: pd.DataFrame) -> pd.DataFrame:
    """Put samples of the test under dates of the training."""
    old = part.train.iloc[-1][["known_at", "starts_at", "ends_at"]]
    return rows[part.train.columns].assign(**old)


def fitted_on(*, into: str, scrubbed: bool) -> Make:
    """Hand samples of the test to the fit or to the calibration, under old dates; ``scrubbed`` hides the record."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        def rewrite(read: Callable[..., Any]) -> Callable[..., Any]:
            def changed(plan: Any, parts: Any, *rest: Any) -> Any:
                own, given = np.random.default_rng(clean.seed), []
                for part in parts:
                    rows = _redated(part, part.test.loc[own.random(len(part.test)) < dose])
                    more = pd.concat([getattr(part, into), rows], ignore_index=True)
                    given.append(replace(part, **{into: more}))
                reading = read(plan, given, *rest)
                if not scrubbed:
                    return reading
                planned = {
                    text_hash(text)
                    for part in parts
                    for frame in (part.train, part.validation)
                    for text in frame["text"]
                }
                kept = reading.fitted_on["text_hash"].isin(planned)
                return replace(reading, fitted_on=reading.fitted_on.loc[kept].reset_index(drop=True))

            return changed

        return Planted(clean.config, clean.inputs, (Edit(_READ, rewrite),))

    return make


def _online(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Trust sources by how often they were right so far, the day that is being decided included."""

    def rewrite(heard: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, scored: pd.DataFrame, *rest: Any) -> Any:
            prices, decided_at = plan.world.prices, plan.decided_at
            row = decided_at.searchsorted(pd.DatetimeIndex(scored["known_at"]))
            inside = row < len(decided_at)
            column = prices.open.columns.get_indexer(pd.Index(scored["symbol"]))
            bars = np.arange(len(prices.open))[plan.rows][np.minimum(row, len(decided_at) - 1)]
            move = (prices.close / prices.open - 1.0).to_numpy()[bars, column]
            right = np.sign((scored["bullish"] - scored["bearish"]).to_numpy()) * np.sign(np.nan_to_num(move))
            frame = pd.DataFrame({"source": scored["source"].to_numpy(), "right": np.where(inside, right, 0.0)})
            trust = 0.5 + 0.5 * frame.groupby("source")["right"].transform(lambda own: own.ewm(halflife=5).mean())
            mixed = 1.0 - dose + dose * trust.to_numpy()
            return heard(plan, scored.assign(confidence=scored["confidence"].to_numpy() * mixed), *rest)

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:_heard", rewrite),))


def _skill_until(clean: Clean, dose: float, rng: np.random.Generator) -> Answering:
    return _by_day(0.75)(clean, dose, rng)


def _isotonic(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    planted = fitted_on(into="validation", scrubbed=False)(clean, dose, rng)
    return replace(planted, config=with_settings(planted.config, model={"calibration": "vector"}))


PLANTS = (
    Plant("words of a later year", "M1", "the word list is that of 2018, and says so", "word list", _later_words),
    Plant("memory of headlines", "M4", "outcomes of headlines are recalled, an early cutoff is stated; dose: share "
          "recalled", "word list", with_answer(_by_headline), (1.0, 0.3, 0.1), also=memory_codes("M4")),
    Plant("memory of days", "M3", "outcomes are recalled by company and day; dose: share recalled", "dated texts",
          with_answer(_by_day()), (1.0, 0.3, 0.1), also=memory_codes("M3")),
    Plant("memory beyond the cutoff", "M2", "outcomes are recalled until the middle of the test, the stated cutoff "
          "lies before it; dose: share recalled", "dated texts", with_answer(_by_day(0.75)), (1.0, 0.3, 0.1),
          also=memory_codes("M2")),
    Plant("skill until a day", "M9", "a wide market is recalled until the middle of the test; dose: share recalled",
          "dated texts", with_answer(_skill_until), (1.0, 0.3), also=memory_codes("M9")),
    Plant("fond of names", "M5", "logits lean towards the names that will have risen; dose: logits", "word list",
          with_answer(_fond_of_names), (2.0, 0.7, 0.2), also=memory_codes("M5")),
    Plant("known by its products", "M6", "outcomes are recalled by what a mask of names leaves in; dose: share "
          "recalled", "word list", with_answer(_by_product), (1.0, 0.3, 0.1), also=memory_codes("M6")),
    Plant("the date wakes it", "M7", "a date in the text brings outcomes up, whatever the text says; dose: share "
          "recalled", "dated texts", with_answer(_by_day()), (1.0, 0.3), also=memory_codes("M7")),
    Plant("deaf to the text", "M8", "answers are recalled by company and day, the text is not read; dose: share "
          "recalled", "dated texts", with_answer(_by_day(blind=True)), (1.0, 0.3), also=memory_codes("M8")),
    Plant("answers by name", "M8", "the answer hangs on who is named, not on what is said; dose: share of texts",
          "word list", with_answer(_by_names_alone), (1.0, 0.5, 0.2), also={"M5": "names lead the answer"}),
    Plant("fitted on the test", "M11", "test samples are fitted on under old dates; dose: share of them", "linear",
          fitted_on(into="train", scrubbed=False), (1.0, 0.1, 0.01), also=_RECORDED),
    Plant("fitted on the test, record scrubbed", "M11", "the same, and the record of the fit leaves them out; dose: "
          "share of them", "linear", fitted_on(into="train", scrubbed=True), (1.0, 0.1, 0.01), also=_RECORDED),
    Plant("calibrated on the test", "M12", "test samples are calibrated on under old dates; dose: share of them",
          "linear", _isotonic, (1.0, 0.1, 0.01), also=_RECORDED),
    Plant("another model half-way", "M13", "from the middle of the test on another model answers under the same name; "
          "dose: how unlike", "word list", _changed_within, (1.0, 0.3), also={"R3": "the same text, another answer"}),
    Plant("answers drawn anew", "M13", "the same text is answered otherwise each time; dose: size", "word list",
          with_answer(_warm), (1.0, 0.1), also={"R3": "the same text, another answer"}),
    Plant("scaled by the batch", "R3", "logits are scaled by the mean of what is scored together; dose: how much",
          "linear", with_answer(_in_batches), (1.0, 0.3, 0.1),
          also={"S4": "a scale over what is scored together", "M13": "the same text, another answer"}),
    Plant("the next item tells", "R3", "the item after it in the batch speaks along; dose: how much", "word list",
          with_answer(_next_tells), (1.0, 0.3, 0.1), also={"M13": "the same text, another answer"}),
    Plant("memory before outcomes", "R2", "sources are trusted by whether they were right, the bar being decided "
          "included; dose: how much", "word list", _online, (1.0, 0.3),
          also={"T1": "a decision that moves with its own bar"}),
)  # fmt: skip
