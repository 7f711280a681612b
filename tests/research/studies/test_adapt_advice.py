"""Which reader a study advises: the cheapest of those that the tests cannot tell from the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from embargo.backtest.leakage import Finding
from embargo.research.config.adapt import AdaptSection
from embargo.research.config.model import ModelSection
from embargo.research.studies.adapt import Advice, Apart, Pair, Row, recommend
from embargo.research.studies.adapt.judgement import trust_of

GUESS = Row(
    "guess",
    "majority",
    accuracy=0.5,
    macro_f1=0.30,
    log_loss=1.1,
    trust="before",
    traded=True,
    fit_cost=0.0,
    article_cost=0.0,
)
CHEAP = Row(
    "cheap",
    "linear",
    accuracy=0.7,
    macro_f1=0.70,
    log_loss=0.7,
    trust="before",
    traded=True,
    fit_cost=0.1,
    article_cost=0.001,
)
DEAR = Row(
    "dear",
    "transformer",
    accuracy=0.7,
    macro_f1=0.72,
    log_loss=0.6,
    trust="before",
    traded=True,
    fit_cost=4.0,
    article_cost=0.04,
)
SURE, UNSURE = 0.001, 0.4


def planted(*rows: Row, sure: Mapping[tuple[str, str], float] = {}) -> list[Pair]:
    """Pairs whose figures differ as the rows say; Holm's p as given, sure against the one who guesses."""
    pairs = []
    for place, a in enumerate(rows):
        for b in rows[place + 1 :]:
            p = sure.get((a.name, b.name), SURE if "guess" in (a.name, b.name) else UNSURE)
            gaps = {
                name: float(getattr(a, name) or 0.0) - float(getattr(b, name) or 0.0)
                for name in ("macro_f1", "accuracy", "log_loss")
            }
            pairs.append(Pair(a.name, b.name, **{k: Apart(gap, gap - 0.1, gap + 0.1, p, p) for k, gap in gaps.items()}))
    return pairs


def advised(*rows: Row, sure: Mapping[tuple[str, str], float] = {}) -> Advice:
    return recommend(rows, planted(*rows, sure=sure), AdaptSection(articles=1_000_000), significance=0.05)


def test_a_clear_winner_is_one() -> None:
    found = advised(GUESS, CHEAP, DEAR, sure={("cheap", "dear"): SURE})
    assert (found.take, found.best, found.alike) == ("dear", "dear", ("dear",))
    assert "is shown to read better than every other reader here" in found.headline


def test_of_those_that_cannot_be_told_apart_the_cheaper_is_taken_and_none_is_best() -> None:
    found = advised(GUESS, CHEAP, DEAR)
    assert (found.take, found.best, set(found.alike)) == ("cheap", None, {"cheap", "dear"})
    assert found.headline == "Take cheap: it cannot be told from dear here, and costs 1/40 as much."
    told = " ".join(found.lines)
    assert "Take it only if what that interval leaves open is worth 42.90 USD more for 1,000,000 articles" in told
    assert "better than every" not in found.headline


def test_the_highest_figure_that_is_cheapest_too_is_not_called_better() -> None:
    found = advised(GUESS, CHEAP, replace(DEAR, fit_cost=0.0, article_cost=0.0001))
    assert (found.take, found.best) == ("dear", None)
    assert "is shown to read better, and those that it cannot be told from cost more" in found.headline


def test_what_may_remember_the_test_never_wins() -> None:
    memory = replace(DEAR, name="memory", macro_f1=0.95, trust="inside", trust_note="It knows until 2030-01-01.")
    sure = {("cheap", "dear"): UNSURE, ("cheap", "memory"): SURE, ("dear", "memory"): SURE}
    found = advised(GUESS, CHEAP, DEAR, memory, sure=sure)
    assert (found.take, found.best, found.aside) == ("cheap", None, ("memory",))
    assert "memory" not in found.headline
    (line,) = [line for line in found.lines if line.startswith("memory")]
    assert "the highest of all" in line
    assert "cannot be trusted on this window. It knows until 2030-01-01." in line
    alone = advised(GUESS, memory)
    assert (alone.take, alone.headline) == (
        None,
        "No reader can be recommended: none that was carried out is known to end before the test begins.",
    )


def test_a_cutoff_that_is_declared_alone_is_never_passed_over() -> None:
    told = replace(DEAR, kind="scores", trust="declared", trust_note="Its file says 2014.", article_cost=0.0)
    found = advised(GUESS, CHEAP, told, sure={("cheap", "dear"): SURE})
    assert found.take == "dear"
    assert found.headline.endswith("Where its knowledge ends is declared, not checked.")
    assert "That what dear knows ends before the test is declared, not checked: Its file says 2014." in found.lines
    assert "declared" not in " ".join(advised(GUESS, CHEAP, DEAR).lines)


def test_a_reader_that_knows_the_labels_of_the_test_is_set_aside() -> None:
    cheat = replace(DEAR, kind="scores", macro_f1=1.0, trust="doubted", trust_note="It knows labels of the test.")
    found = advised(GUESS, CHEAP, cheat, sure={("cheap", "dear"): SURE})
    assert (found.take, found.aside) == ("cheap", ("dear",))
    assert "It knows labels of the test." in " ".join(found.lines)


@pytest.mark.parametrize(
    ("section", "trust"),
    [
        (ModelSection(kind="linear"), "before"),
        (ModelSection(kind="mine:reader"), "declared"),
        (ModelSection(kind="scores", scores={"path": "s.csv", "knowledge_cutoff": "2014-12-31"}), "declared"),
    ],
)
def test_what_somebody_says_of_a_reader_is_told_from_what_can_be_seen(section: ModelSection, trust: str) -> None:
    assert trust_of(Finding("M1", "pass", "Known before", "It ends in 2014."), section)[0] == trust
    opened = Finding("M1", "inconclusive", "Known before", "It opened files.", [{"file": "data/news.csv"}])
    assert trust_of(opened, section)[0] == "unknown"


def test_none_is_taken_where_none_beats_guessing() -> None:
    unsure = {("guess", "cheap"): UNSURE, ("guess", "dear"): UNSURE}
    found = advised(GUESS, CHEAP, DEAR, sure=unsure)
    assert (found.take, found.best, found.alike) == (None, None, ())
    assert "none is shown to know more than guessing" in found.headline
    # One of the two beats guessing: it alone is left, without being shown to be better than the other.
    found = advised(GUESS, CHEAP, DEAR, sure={("guess", "dear"): UNSURE})
    assert (found.take, found.best, found.alike) == ("cheap", None, ("cheap",))
    assert "better than every" not in found.headline


def test_answers_at_random_know_no_more_than_guessing_whatever_their_macro_f1() -> None:
    random = replace(CHEAP, name="random", accuracy=0.4, macro_f1=0.6, log_loss=1.1)
    worse = replace(CHEAP, name="worse", accuracy=0.4, log_loss=1.3)
    assert advised(GUESS, random, worse).take is None
    found = advised(GUESS, random, worse, replace(DEAR, macro_f1=0.5))
    assert found.take == "dear"
    assert "Not shown to know more than guessing: random, worse." in found.lines
    # A badly calibrated reader that is more often right does know more.
    assert advised(GUESS, replace(CHEAP, log_loss=1.3)).take == "cheap"


def test_what_nobody_knows_the_cost_of_is_not_the_cheapest() -> None:
    given_scores = replace(
        DEAR, name="given", kind="scores", fit_cost=None, article_cost=None, costs_note="made elsewhere"
    )
    found = advised(GUESS, CHEAP, given_scores)
    assert found.take == "cheap"
    assert "a cost that nobody knows" in " ".join(found.lines)


def test_earning_more_is_said_beside_and_volume_turns_the_choice() -> None:
    few = replace(
        CHEAP, fit_cost=0.0, article_cost=1.0, sharpe=0.2, sharpe_low=-1.0, sharpe_high=1.4, sharpe_p_value=0.4
    )
    many = replace(DEAR, fit_cost=10.0, article_cost=0.1, sharpe=1.5, sharpe_low=0.2, sharpe_high=2.5)
    rows = (GUESS, few, many)
    pairs = [
        replace(pair, sharpe=Apart(-1.3, -2.0, -0.6, 0.001, 0.003)) if {pair.a, pair.b} == {"cheap", "dear"} else pair
        for pair in planted(*rows)
    ]
    found = recommend(rows, pairs, AdaptSection(articles=1_000), significance=0.05)
    told = " ".join(found.lines)
    assert found.take == "cheap"
    assert "Unless you read more than 11,111 articles: then dear" in told
    assert "But dear is shown to have a higher Sharpe ratio on the same bars" in told
    assert "That cheap earns anything after costs is not shown" in told
    assert recommend(rows, pairs, AdaptSection(articles=100_000), significance=0.05).take == "dear"
