"""How often the probes of memory catch a reader that recalls, and how often they doubt one that does not.

``python -m embargo.research.benchmarks.memory_probes --write docs/memory_probes.md`` renews the tables.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import beta

from embargo.backtest.leakage import Finding, check_concentration, check_outcome_words, check_stated_moves
from embargo.backtest.leakage.memory import (
    ProbeResult,
    check_counterfactual_readings,
    check_cutoff_split,
    check_date_recall,
    check_lookahead_propensity,
    check_masked_forecasts,
    check_membership,
)
from embargo.models import LexiconScorer
from embargo.models.scorer import Scorer
from embargo.research.benchmarks.memory_worlds import (
    NAMES,
    MemoryWorld,
    Reader,
    Recaller,
    articles_of,
    forecasts,
    honest,
    learnt_elsewhere,
    make_world,
    memorised,
    tuned,
)
from embargo.research.run.probing import probe_scorer

# What `probe_scorer` asks, in its order.
PROBES = (
    "cutoff split (M1)",
    "after the cutoff (M2)",
    "bare date (M3)",
    "another day's news (M3)",
    "propensity (M3)",
    "familiarity (M4)",
    "masked (M5)",
    "names that lead (M5)",
    "re-identified (M6)",
    "redated (M7)",
    "turned round (M8)",
    "read twice (M13)",
)
SHARES = (0.05, 0.1, 0.3, 1.0)
CLEAN_MODELS = 4
TUNED_MODELS = 2
RESAMPLES = 500
_KNOWING = 0.1
_VERDICTS = ("leak", "suspicious", "inconclusive", "pass")


def probe(world: MemoryWorld, scorer: Scorer, seed: int) -> dict[str, Finding]:
    """Ask a reader of a world everything."""
    found = probe_scorer(scorer, articles_of(world), world.cutoff, names=NAMES, seed=seed)
    # Orders in a text are obeyed or not, whatever is remembered.
    return dict(zip(PROBES, (each for each in found if each.code != "R5"), strict=True))


def clean_readers(seed: int, cache: Path) -> list[tuple[str, Scorer]]:
    """Return readers that know nothing of the worlds drawn with this seed, and what they are."""
    seeds = [seed + 900_000 + k for k in range(CLEAN_MODELS)]
    return [
        ("word list", LexiconScorer()),
        *(("linear, fitted on sentiments", honest(each)) for each in seeds),
        *(("linear, fitted on outcomes elsewhere", learnt_elsewhere(each)) for each in seeds),
        *(("tiny, tuned on sentiments", tuned(each, cache).scorer) for each in seeds[:TUNED_MODELS]),
    ]


def clean_verdicts(draws: Iterable[int], seed: int, cache: Path) -> dict[tuple[str, str], Counter[str]]:
    """Count the verdicts on readers that know nothing of the world they read, by probe and kind of reader."""
    found: dict[tuple[str, str], Counter[str]] = {}
    readers = clean_readers(seed, cache)
    for draw in draws:
        kind, reader = readers[draw % len(readers)]
        for name, told in probe(make_world(seed + draw), reader, draw).items():
            found.setdefault((name, kind), Counter())[told.verdict] += 1
    return found


def planted_verdicts(draws: Iterable[int], seed: int, cache: Path) -> dict[tuple[str, str], Counter[str]]:
    """Count the verdicts on readers that recall a share of the days before the cutoff, and on those fitted on them."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for draw in draws:
        world = make_world(seed + 500_000 + draw)
        readers: dict[str, Scorer] = {f"recalls {share:.0%}": Recaller(world, share, draw) for share in SHARES}
        readers["linear, fitted on outcomes"] = memorised(world)
        if draw < TUNED_MODELS:
            readers["tiny, tuned on outcomes"] = tuned(seed + 900_000, cache, world).scorer
        for reader, scorer in readers.items():
            for name, told in probe(world, scorer, draw).items():
                found.setdefault((name, reader), Counter())[told.verdict] += 1
    return found


def _noise(rng: np.random.Generator, days: int, per_day: int, kind: str) -> pd.DataFrame:
    """Scores and returns that have nothing to do with each other; days share a part of both."""
    n, day = days * per_day, np.arange(days).repeat(per_day)
    shared = rng.normal(size=days)
    own = rng.normal(size=n)
    mood = rng.normal(size=days)
    if kind == "fat tails":
        own, shared = rng.standard_t(3, n), rng.standard_t(3, days)
    if kind == "long moods":
        for row in range(1, days):
            mood[row] = 0.95 * mood[row - 1] + np.sqrt(1 - 0.95**2) * mood[row]
        turbulence = np.exp(mood[::-1])
        shared, own = shared * turbulence, own * turbulence[day]
    score = 0.7 * mood[day] + rng.normal(size=n)
    return pd.DataFrame(
        {
            "at": pd.date_range("2020-01-01", periods=days, tz="UTC").repeat(per_day),
            "symbol": np.tile([f"S{k}" for k in range(per_day)], days),
            "score": score,
            "altered": score + rng.normal(size=n),
            "recalled": rng.normal(size=n) + mood[day],
            "propensity": rng.random(n) + 0.3 * np.abs(mood[day]),
            "familiarity": rng.normal(size=n) + 0.5 * shared[day] - 0.5 * day / days,
            "log_odds": score,
            "flipped": np.where(rng.random(n) < 0.3, score, -score),
            "direction": -np.sign(score),
            "earned": own + shared[day],
        }
    )


_ON_NOISE: dict[str, Callable[[pd.DataFrame, pd.Timestamp, int], ProbeResult]] = {
    "cutoff split (M1)": lambda f, c, s: check_cutoff_split(f, c, n_boot=RESAMPLES, seed=s),
    "masked, redated (M5, M7)": lambda f, _, s: check_masked_forecasts(f, n_boot=RESAMPLES, seed=s),
    "turned round (M8)": lambda f, _, s: check_counterfactual_readings(f, n_boot=RESAMPLES, seed=s),
    "bare date (M3)": lambda f, _, s: check_date_recall(f, n_boot=RESAMPLES, seed=s),
    "propensity (M3)": lambda f, _, __: check_lookahead_propensity(f),
    "familiarity (M4)": lambda f, c, s: check_membership(f, c, n_boot=RESAMPLES, seed=s),
}
_NOISES = (("plain", 250, 6), ("fat tails", 250, 6), ("long moods", 250, 6), ("plain", 90, 3))


def noise_alarms(draws: int, seed: int) -> dict[tuple[str, str], tuple[int, float]]:
    """Count false alarms on noise, and the standard deviation of the statistic, which should be 1."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for number, (kind, days, per_day) in enumerate(_NOISES):
        told: dict[str, list[ProbeResult]] = {name: [] for name in _ON_NOISE}
        for draw in range(draws):
            frame = _noise(np.random.default_rng([seed, number, draw]), days, per_day, kind)
            for name, check in _ON_NOISE.items():
                told[name].append(check(frame, frame["at"].iloc[len(frame) // 2], draw))
        for name, probes in told.items():
            alarms = sum(one.verdict in {"leak", "suspicious"} for one in probes)
            z = [one.figures.get("z", one.figures.get("interaction_z", np.nan)) for one in probes]
            found[name, f"{kind}, {days} days of {per_day}"] = alarms, float(np.nanstd(z))
    return found


def text_verdicts(draws: int, seed: int) -> dict[tuple[str, str], int]:
    """Count the doubts about texts that know nothing of what follows, and about those that do in one case of ten."""
    found: dict[tuple[str, str], int] = {}
    for draw in range(draws):
        world, rng = make_world(seed + 700_000 + draw), np.random.default_rng([seed, draw])
        n = len(world.articles)
        hour, source = rng.integers(0, 24, n), rng.choice(["wire", "blog", "desk", "feed"], n)
        # What honest news states is the move of another day.
        moves = rng.permutation(world.articles["earned"].to_numpy())
        clean = forecasts(world, Reader()).assign(hour=hour, source=source, weekday=world.articles["at"].dt.day_name())
        earned, knows = clean["earned"].to_numpy(), rng.random(n) < _KNOWING
        for texts, stated in (("clean", moves), ("one in ten knows", np.where(knows, earned, moves))):
            told = np.where(knows & (texts != "clean"), np.where(earned > 0.0, " ended higher", " ended lower"), "")
            frame = clean.assign(
                text=[f"{a}{b}; {abs(c):.1%}" for a, b, c in zip(clean["text"], told, stated, strict=True)]
            )
            if texts != "clean":
                frame["score"] = np.where(
                    source == "blog", np.where(rng.random(n) < 0.4, np.sign(earned), 0.0), frame["score"]
                )
            for name, answer in (
                ("words (S7)", check_outcome_words(frame)),
                ("stated moves (D1)", check_stated_moves(frame, n_boot=RESAMPLES, seed=draw)),
                ("one source (D1)", check_concentration(frame, seed=draw)),
            ):
                key = name, texts
                found[key] = found.get(key, 0) + (answer.verdict in {"leak", "suspicious"})
    return found


def exact_interval(hits: int, draws: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial interval of a rate (Clopper and Pearson 1934)."""
    tail = (1.0 - level) / 2.0
    low = float(beta.ppf(tail, hits, draws - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, draws - hits)) if hits < draws else 1.0
    return low, high


def _rate(hits: int, draws: int) -> str:
    low, high = exact_interval(hits, draws)
    return f"{hits} of {draws} ({low:.1%} to {high:.1%})"


def document(draws: int, plants: int, noise: int, texts: int, seed: int, cache: Path) -> str:
    """Write the tables."""
    clean, planted = clean_verdicts(range(draws), seed, cache), planted_verdicts(range(plants), seed, cache)
    alarms, doubts = noise_alarms(noise, seed), text_verdicts(texts, seed)
    kinds, readers = (list(dict.fromkeys(reader for _, reader in told)) for told in (clean, planted))
    shown = []
    for name in PROBES:
        each = [clean[name, kind] for kind in kinds]
        told = sum(each, Counter[str]())
        cells = [f"{one['leak'] + one['suspicious']} of {one.total()}" for one in each]
        rate = _rate(told["leak"] + told["suspicious"], told.total())
        shown.append(f"| {name} | {' | '.join(cells)} | {rate} | {told['leak']} | {told['inconclusive']} |")
    caught = []
    for name in PROBES:
        cells = [" / ".join(str(planted[name, reader][verdict]) for verdict in _VERDICTS) for reader in readers]
        caught.append(f"| {name} | {' | '.join(cells)} |")
    doubted = [
        f"| {name} | {world} | {_rate(hits, noise)} | {spread:.2f} |"
        for (name, world), (hits, spread) in alarms.items()
    ]
    return _PAGE.format(
        draws=draws,
        plants=plants,
        tuned=min(plants, TUNED_MODELS),
        noise=noise,
        texts=texts,
        seed=seed,
        asked="\n".join(f"| {name} | {of} | {_rate(hits, texts)} |" for (name, of), hits in doubts.items()),
        clean="\n".join(shown),
        kinds=" | ".join(kinds),
        kinds_rule=" --- |" * len(kinds),
        readers=" | ".join(readers),
        rule=" --- |" * len(readers),
        planted="\n".join(caught),
        alarms="\n".join(doubted),
    )


_PAGE = """\
# What the probes of memory see

Made by `python -m embargo.research.benchmarks.memory_probes --draws {draws} --plants {plants} --noise {noise} --texts
{texts} --seed {seed} --write docs/memory_probes.md`. `embargo audit --probe` asks the readers of a run, and
`embargo.research.run.probing.probe_scorer` any scorer, with the defaults measured here: 600 of about 1,150 articles on
six made companies in 240 days, a correlation of 0.1 between an article's sentiment and the return, half of the days
before the cutoff. Intervals are exact binomial ones, of 95 %. The thresholds were chosen with other noise than this in
sight, but on made worlds that return here.

## Readers that recall nothing

A word list; linear models fitted on other worlds, on sentiments or on outcomes by heart, so that names and days move
what they say; and the built-in base, pretrained and tuned (LoRA) on sentiments of another world. {draws} worlds, each
read by one of them. Alarms are `leak` and `suspicious` together.

| probe | {kinds} | all together | leak | inconclusive |
| --- |{kinds_rule} --- | --- | --- |
{clean}

## Readers that recall

A reader of verbs that knows what became of a share of the company days before the cutoff; a linear model, and the
built-in base ({tuned} worlds), really fitted on headline and outcome of all of them. {plants} worlds; cells hold leak /
suspicious / inconclusive / pass.

| probe | {readers} |
| --- |{rule}
{planted}

Re-identification asks about masked texts, not about the reader; days after the cutoff are recalled by none; no name
leads any of them on all days alike, and all answer the same when they are asked twice: a pass is right there in every
column. A reader that recalls every day alike has no propensity that varies; bare dates and another day's news are what
gives it away. A proof needs a reader that answers to whom and when. One that knows texts by their wording alone, and
was fitted on no dates or names, is doubted at most: where readings stay while what happened is turned round (M8).

## Texts

Articles of the same worlds, each with a percentage: that of another move, or in one text of ten that of the next, with
the outcome in words. In those worlds one source of four knows the outcome in 40 % of its articles.

| check | texts | doubted |
| --- | --- | --- |
{asked}

## Noise

Scores and returns that have nothing to do with each other, with a part that all rows of a day share. Long moods: scores
remember 0.95 of the day before, and returns are turbulent in spells. The last figure is the standard deviation of the
statistic, which is 1 where the errors are right.

| probe | world | false alarms | deviation |
| --- | --- | --- | --- |
{alarms}
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate and print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200, help="worlds read by readers that recall nothing")
    parser.add_argument("--plants", type=int, default=20, help="worlds read by readers that recall")
    parser.add_argument("--noise", type=int, default=500, help="worlds of noise of each kind")
    parser.add_argument("--texts", type=int, default=100, help="worlds whose texts are asked")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="file to renew")
    options = parser.parse_args(argv)
    with TemporaryDirectory(prefix="embargo-probes-") as cache:
        sizes = options.draws, options.plants, options.noise, options.texts
        text = document(*sizes, options.seed, Path(cache))
    if options.write is None:
        Console().print(text, markup=False)
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
