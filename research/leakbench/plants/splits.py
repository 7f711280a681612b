"""Plants in splits, labels and what is fitted on them: shuffles, purging, scales, vocabularies, regimes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders import labels
from embargo.data_loaders.fields import CLASSES
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Plant, Planted, code_only, with_settings
from embargo.research.leakbench.plants.texts import earned_after
from embargo.research.leakbench.plants.timing import on_signal
from embargo.research.leakbench.worlds import Clean

_PARTS = "embargo.research.run.samples:plan_parts"
_AS_SAMPLES = "the deep audit names the stage that moved, which is the samples"
_AS_WEIGHTS = "a scale over all rows moves the decisions of early ones"


def on_parts(change: Callable[[Any, Any, Any, np.random.Generator, float], Any]) -> Callable[..., Planted]:
    """Make a plant that changes the samples of a fold: (part, config, world, generator, dose) to part."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        def rewrite(plan_parts: Callable[..., Any]) -> Callable[..., Any]:
            def changed(config: Any, world: Any, *rest: Any) -> Any:
                own = np.random.default_rng(clean.seed)
                return [change(part, config, world, own, dose) for part in plan_parts(config, world, *rest)]

            return changed

        return Planted(clean.config, clean.inputs, (Edit(_PARTS, rewrite),))

    return make


def _until(part: Any) -> Any:
    """State the end of what is learnt as it then is, so that nothing at the door objects."""
    used = pd.concat([part.train, part.validation])
    return replace(part, trained_until=max(used["known_at"].max(), used["ends_at"].max()))


def _shuffled(part: Any, config: Any, world: Any, rng: np.random.Generator, dose: float) -> Any:
    """Split at random: articles of the test window land in training, and as many old ones are not used."""
    drawn = part.test.loc[rng.random(len(part.test)) < dose, part.train.columns]
    kept = (
        part.train.iloc[np.sort(rng.permutation(len(part.train))[len(drawn) :])]
        if len(part.train) > len(drawn)
        else part.train
    )
    return _until(
        replace(part, train=pd.concat([kept, drawn]).sort_values("known_at", ignore_index=True, kind="stable"))
    )


def _by_symbol(part: Any, config: Any, world: Any, rng: np.random.Generator, dose: float) -> Any:
    """Split by symbol: of some symbols the test window is trained on."""
    names = world.prices.symbols
    taught = set(names[: max(1, round(dose * len(names) / 2))])
    symbol = world.news.drop_duplicates("article_id").set_index("article_id")["symbol"]
    drawn = part.test.loc[part.test["article_id"].map(symbol).isin(taught), part.train.columns]
    return _until(
        replace(part, train=pd.concat([part.train, drawn]).sort_values("known_at", ignore_index=True, kind="stable"))
    )


def _validated_before(part: Any, config: Any, world: Any, rng: np.random.Generator, dose: float) -> Any:
    """Validate on the middle of the test window."""
    inside = part.test.iloc[len(part.test) // 4 : len(part.test) // 2]
    return _until(replace(part, validation=inside[part.validation.columns].reset_index(drop=True)))


def _no_purge(part_of: Callable[..., Any]) -> Callable[..., Any]:
    """Divide samples by when they were known alone."""

    def changed(samples: pd.DataFrame, fold: Any, *, embargo: pd.Timedelta, **rest: Any) -> Any:
        instant = samples.assign(ends_at=samples["known_at"])
        cut = part_of(instant, fold, embargo=pd.Timedelta(0), **rest)
        ends = samples.set_index("article_id")["ends_at"]
        return replace(
            cut,
            **{
                name: (frame := getattr(cut, name)).assign(ends_at=frame["article_id"].map(ends))
                for name in ("train", "validation", "test")
            },
        )

    return changed


def _wrong_side(part_of: Callable[..., Any]) -> Callable[..., Any]:
    """Purge at the start of training and of validation, where nothing overlaps, as many as should go at the end."""

    def changed(samples: pd.DataFrame, fold: Any, *, embargo: pd.Timedelta, **rest: Any) -> Any:
        whole = _no_purge(part_of)(samples, fold, embargo=embargo, **rest)
        cut = part_of(samples, fold, embargo=embargo, **rest)
        gone = {name: len(getattr(whole, name)) - len(getattr(cut, name)) for name in ("train", "validation")}
        return replace(whole, **{name: getattr(whole, name).iloc[gone[name] :] for name in gone})

    return changed


def _ends_early(forward_returns: Callable[..., Any]) -> Callable[..., Any]:
    """State that labels of returns are complete when the article is known."""

    def changed(*given: Any, **settings: Any) -> Any:
        found = forward_returns(*given, **settings)
        return replace(found, frame=found.frame.assign(ends_at=found.frame["known_at"]))

    return changed


def _long_labels(edit: Edit) -> Callable[..., Planted]:
    """Learn from ten bars, so that labels reach far, under an edit that leaves them there."""

    def make(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
        config = with_settings(clean.config, labels={"horizon_bars": round(10 * dose)})
        return Planted(config, clean.inputs, (edit,))

    return make


def _hindsight_labels(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Take a vendor's column that was made from the next return for readings of the text."""
    inputs = clean.inputs
    assert inputs is not None
    earned = earned_after(inputs, clean)
    made = np.where(earned > 0.004, "bullish", np.where(earned < -0.004, "bearish", "neutral"))
    drawn = rng.random(len(earned)) < dose
    label = inputs.news["label"].where(~drawn | ~np.isfinite(earned), pd.Series(made, index=inputs.news.index))
    return Planted(clean.config, replace(inputs, news=inputs.news.assign(label=label)))


def _scaled(values: np.ndarray, *_: Any) -> np.ndarray:
    """Standardise each symbol by all its rows."""
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    return np.asarray(np.clip(scaled / 3.0, -1.0, 1.0))


def _best_rows(values: np.ndarray, *_: Any) -> np.ndarray:
    """Hold what is among the strongest third of all rows."""
    held = np.abs(values[values != 0.0])
    return np.where(np.abs(values) >= np.quantile(held, 2.0 / 3.0), values, 0.0) if len(held) else values


def _scores_standardised(read: Callable[..., Any]) -> Callable[..., Any]:
    """Rescale confidences by the mean and the spread of all scores of the test window."""

    def changed(*given: Any) -> Any:
        reading = read(*given)
        own = reading.scored["confidence"]
        scaled = (0.6 + 0.15 * (own - own.mean()) / own.std()).clip(0.0, 1.0)
        return replace(reading, scored=reading.scored.assign(confidence=scaled))

    return changed


def _vocabulary_of_all(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Fit vocabulary and document frequencies on all texts there are; the weights learn from training alone."""
    held: list[str] = []

    def remembered(plan_parts: Callable[..., Any]) -> Callable[..., Any]:
        def changed(config: Any, world: Any, *rest: Any) -> Any:
            held[:] = world.news["text"].tolist()
            return plan_parts(config, world, *rest)

        return changed

    def fitted(fit_transform: Callable[..., Any]) -> Callable[..., Any]:
        def changed(self: Any, texts: Any, y: Any = None) -> Any:
            self.fit([*texts, *held])
            return self.transform(texts)

        return changed

    vectoriser = "sklearn.feature_extraction.text:TfidfVectorizer.fit_transform"
    return Planted(clean.config, clean.inputs, (Edit(_PARTS, remembered), Edit(vectoriser, fitted)))


def _thresholds_of_all(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Cut labels of returns at quantiles of all returns, of the test window too."""
    values: list[np.ndarray] = []

    def remembered(forward_returns: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any, **settings: Any) -> Any:
            found = forward_returns(*given, **settings)
            values[:] = [found.frame["value"].to_numpy()]
            return found

        return changed

    def fitted(fit_thresholds: Callable[..., Any]) -> Callable[..., Any]:
        return lambda train, *rest: fit_thresholds(values[0] if values else train, *rest)

    room = labels.__name__
    return Planted(
        clean.config,
        clean.inputs,
        (Edit(f"{room}:forward_returns", remembered), Edit(f"{room}:fit_thresholds", fitted)),
    )


def _regimes_of_all(known_regimes: Callable[..., Any]) -> Callable[..., Any]:
    """Call calm and turbulent by the middle of all volatilities, each measured around its row."""

    def changed(settings: Any, definitions: Any, close: pd.DataFrame, *rest: Any) -> Any:
        market = close.pct_change(fill_method=None).mean(axis=1)
        spread = market.rolling(21, center=True, min_periods=5).std()
        label = np.where(spread > spread.median(), "turbulent", "calm")
        return pd.DataFrame(dict.fromkeys(definitions, label), index=close.index)

    return changed


def _regimes_by_tercile(known_regimes: Callable[..., Any]) -> Callable[..., Any]:
    """Measure volatility from closed bars, and cut it at the terciles of the whole history."""

    def changed(settings: Any, definitions: Any, close: pd.DataFrame, *rest: Any) -> Any:
        market = close.pct_change(fill_method=None).mean(axis=1)
        spread = market.rolling(21, min_periods=5).std().shift(2)
        label = np.where(spread > spread.quantile(2.0 / 3.0), "turbulent", "calm")
        return pd.DataFrame(dict.fromkeys(definitions, label), index=close.index)

    return changed


def _from_target(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Blend into the scores a feature that is the next return under noise; dose is their correlation."""
    inputs = clean.inputs
    assert inputs is not None
    earned = earned_after(inputs, clean)
    spread = np.nanstd(earned)
    noisy = np.nan_to_num(dose * earned / spread + np.sqrt(1.0 - min(dose, 1.0) ** 2) * rng.normal(size=len(earned)))
    feature = pd.Series(np.tanh(noisy), index=pd.MultiIndex.from_frame(inputs.news[["article_id", "symbol"]]))

    def rewrite(read: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any) -> Any:
            reading = read(*given)
            scored = reading.scored.copy()
            keys = pd.MultiIndex.from_frame(scored[["article_id", "symbol"]])
            tilt = 0.5 * feature.reindex(keys).fillna(0.0).to_numpy()
            bearish, neutral, bullish = (scored[name].to_numpy(dtype=float) for name in CLASSES)
            bullish, bearish = bullish * np.exp(2 * tilt), bearish * np.exp(-2 * tilt)
            total = bearish + neutral + bullish
            made = dict(zip(CLASSES, (bearish / total, neutral / total, bullish / total), strict=True))
            scored = scored.assign(**made)
            return replace(reading, scored=scored.assign(confidence=scored[list(CLASSES)].max(axis=1)))

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.reading:read", rewrite),))


PLANTS = (
    Plant("no purge", "S1", "labels of ten bars are not purged at boundaries", "labels of returns",
          _long_labels(Edit("embargo.data_loaders.splits.purging:part_of", _no_purge)), (1.0, 0.5),
          also={"S3": "no embargo either", "S5": _AS_SAMPLES}, refused="ends_at"),
    Plant("ends stated early", "S1", "labels of ten bars are said to be complete when the article is known",
          "labels of returns", _long_labels(Edit("embargo.data_loaders.labels:forward_returns", _ends_early)),
          (1.0, 0.5), also={"S5": _AS_SAMPLES, "S3": "nothing is kept apart", "S7": "labels made of test returns"}),
    Plant("purged at the wrong side", "S2", "samples are purged where nothing overlaps", "labels of returns",
          _long_labels(Edit("embargo.data_loaders.splits.purging:part_of", _wrong_side)), (1.0, 0.5),
          also={"S1": "what should have been purged reaches over", "S5": _AS_SAMPLES}, refused="ends_at"),
    Plant("signal scaled over all rows", "S4", "each symbol's signal is standardised by all its rows; dose: share of "
          "symbols", "word list", on_signal(_scaled), (1.0, 0.3, 0.1), also={"T1": _AS_WEIGHTS}),
    Plant("threshold over all rows", "S4", "positions are held on the strongest third of all rows; dose: share of "
          "symbols", "word list", on_signal(_best_rows), (1.0, 0.3, 0.1),
          also={"T1": _AS_WEIGHTS, "P1": "a threshold that the test chose"}),
    Plant("scores scaled over the test", "S4", "confidences are standardised over the test window", "word list",
          code_only(Edit("embargo.research.run.reading:read", _scores_standardised)),
          also={"R3": "a score that depends on the other scores", "T1": _AS_WEIGHTS}),
    Plant("vocabulary of all texts", "S4", "vocabulary and document frequencies are those of all texts", "linear",
          _vocabulary_of_all, also={"R3": "a score that depends on texts of the test"}),
    Plant("label thresholds of all returns", "M12", "returns are cut into classes at quantiles of all returns",
          "labels of returns", _thresholds_of_all,
          also={"S4": "a threshold fitted on all dates", "S5": _AS_SAMPLES}),
    Plant("shuffled split", "S5", "articles of the test window are trained on, with their own dates; dose: share of "
          "them", "linear", on_parts(_shuffled), (1.0, 0.3, 0.05),
          also={"M11": "what is trained on is of the test"}, refused="trained_until"),
    Plant("split by symbol", "S5", "of half the symbols the test window is trained on; dose: of that half", "linear",
          on_parts(_by_symbol), (1.0, 0.3), also={"M11": "what is trained on is of the test"}, refused="trained_until"),
    Plant("validated inside the test", "S5", "the validation part lies inside the test window", "linear",
          on_parts(_validated_before),
          also={"M12": "the calibration is of the test", "M11": "so is what stops the fit"},
          refused="trained_until"),
    Plant("labels with hindsight", "S7", "labels were made from the next return and are said to be readings; dose: "
          "share of labels", "linear", _hindsight_labels, (1.0, 0.3),
          also={"D2": "scored later", "S1": "their true end is later", "S5": _AS_SAMPLES}),
    Plant("a feature from the target", "S7", "scores are blended with the next return under noise; dose: correlation",
          "word list", _from_target, (0.9, 0.3, 0.1),
          also={"D1": "scores that know what came", "M3": "a reader that knows outcomes", "T1": _AS_WEIGHTS}),
    Plant("regimes with hindsight", "S8", "calm and turbulent are told from volatility around the row", "risk",
          code_only(Edit("embargo.research.run.regimes:known_regimes", _regimes_of_all)), also={"T1": _AS_WEIGHTS}),
    Plant("regimes by all terciles", "S8", "volatility of closed bars is cut at the terciles of all history", "risk",
          code_only(Edit("embargo.research.run.regimes:known_regimes", _regimes_by_tercile)),
          also={"T1": _AS_WEIGHTS}),
)  # fmt: skip
