"""What a study of readers comes to, in words that follow from its tests by a fixed rule.

One figure, named before anything is read, decides. Of the readers whose knowledge ends before the test and which are
shown to know more than guessing, those that cannot be told from the best of them are taken for equally good, and the
cheapest of these is recommended. Nothing is called better than what it was not shown to be better than.

Whether a reader knows anything is asked of its accuracy and of the mean log loss of its probabilities, each against the
class shares and at half the level: no answer without knowledge is better in either. Whoever answers at random has a
higher macro-F1 than whoever always gives the commonest class, and knows no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from embargo.research.config.adapt import AdaptSection
from embargo.research.pages import formats
from embargo.research.pages.phrases import phrase
from embargo.research.studies.adapt.costs import break_evens
from embargo.research.studies.adapt.rows import MEASURES, TRUSTED, Apart, Pair, Row, between

GUESSING = "majority"


@dataclass(frozen=True)
class Advice:
    """A recommendation and what it rests on.

    Attributes
    ----------
    take : str or None
        The reader recommended.
    best : str or None
        The one reader that is shown to read better than every other that can be trusted here; None where there is none.
    alike : tuple of str
        Readers that cannot be told from the highest figure among those that know more than guessing; it is one of them.
    aside : tuple of str
        Readers that may remember this window, and had no say.
    headline : str
    lines : tuple of str

    Examples
    --------
    >>> from embargo.research.studies.adapt import Advice
    >>> Advice("line", None, ("line", "tuned"), (), "Take line.", ()).take
    'line'
    """

    take: str | None
    best: str | None
    alike: tuple[str, ...]
    aside: tuple[str, ...]
    headline: str
    lines: tuple[str, ...]


def recommend(rows: Sequence[Row], pairs: Sequence[Pair], settings: AdaptSection, *, significance: float) -> Advice:
    """Recommend a reader, or none.

    Parameters
    ----------
    rows : sequence of Row
    pairs : sequence of Pair
        Every two of the rows that ran.
    settings : AdaptSection
        The figure that decides, and the number of articles to reckon with.
    significance : float
        Level of the tests, after Holm's correction.

    Returns
    -------
    Advice

    Examples
    --------
    >>> from embargo.research.config.adapt import AdaptSection
    >>> from embargo.research.studies.adapt import Apart, Pair, Row, recommend
    >>> costs = {"fit_cost": 0.0, "article_cost": 0.001, "trust": "before"}
    >>> guess = Row("majority", "majority", accuracy=0.4, macro_f1=0.2, log_loss=1.1, **costs)
    >>> line = Row("line", "linear", accuracy=0.7, macro_f1=0.7, log_loss=0.7, **costs)
    >>> better = Apart(0.3, 0.2, 0.4, 0.001, 0.001)
    >>> pair = Pair("line", "majority", accuracy=better, macro_f1=better)
    >>> recommend([guess, line], [pair], AdaptSection(), significance=0.05).headline
    'Take line: it is shown to read better than every other reader here that can be trusted.'
    """
    measure = settings.judge_by
    ran = [row for row in rows if row.ran]
    trusted = [row for row in ran if row.trust in TRUSTED]
    aside = [row for row in ran if row.trust not in TRUSTED]
    guess = next((row for row in trusted if row.kind == GUESSING), None)
    able = [row for row in trusted if row.kind != GUESSING]
    notes = [*_aside_lines(aside, able, measure), *_failed_lines(rows)]
    outside = tuple(row.name for row in aside)
    if not able:
        return Advice(None, None, (), outside, phrase("no reader can be trusted"), tuple(notes))

    def ahead(one: Row, other: Row) -> bool:
        apart = between(pairs, one.name, other.name, measure)
        return apart.stands(significance) and (apart.difference or 0.0) > 0.0

    def knows(row: Row) -> bool:
        if guess is None:
            return True
        right, lost = (between(pairs, row.name, guess.name, name) for name in ("accuracy", "log_loss"))
        return (right.stands(significance / 2) and (right.difference or 0.0) > 0.0) or (
            lost.stands(significance / 2) and (lost.difference or 0.0) < 0.0
        )

    shown = [row for row in able if knows(row)]
    if guess is not None and not shown:
        top = min(able, key=lambda row: math.inf if row.log_loss is None else row.log_loss)
        lines = [f"The lowest log loss is that of {top.name}: {_guessing(top, guess, pairs)}"]
        return Advice(None, None, (), outside, phrase("no reader beats guessing"), (*lines, *notes))
    leader = max(shown, key=lambda row: (row.quality(measure)[0], -row.cost(settings.articles)))
    alike = [row for row in shown if row is leader or not ahead(leader, row)]
    take = min(alike, key=lambda row: (row.cost(settings.articles), -row.quality(measure)[0]))
    best = leader if all(ahead(leader, row) for row in trusted if row is not leader) else None
    lines = [
        f"That what {row.name} knows ends before the test is declared, not checked: {row.trust_note}"
        for row in shown
        if row.trust == "declared"
    ]
    if guess is None:
        lines.append("No reader of this study guesses by the classes alone, so none is shown to be better than that.")
    else:
        lines.append(f"Against guessing: {_guessing(take, guess, pairs)}")
        if idle := [row.name for row in able if row not in shown]:
            lines.append(f"Not shown to know more than guessing: {', '.join(idle)}.")
    lines += [*_choice_lines(take, leader, alike, pairs, settings), *_volume_lines(take, alike, settings)]
    lines += _money_lines(take, trusted, pairs, significance)
    headline = _headline(take, leader, best, alike, settings)
    if take.trust == "declared":
        headline += " Where its knowledge ends is declared, not checked."
    return Advice(
        take.name,
        None if best is None else best.name,
        tuple(row.name for row in alike),
        outside,
        headline,
        (*lines, *notes),
    )


def _headline(take: Row, leader: Row, best: Row | None, alike: Sequence[Row], settings: AdaptSection) -> str:
    if best is not None:
        return phrase("reader is better", reader=take.name)
    if take is not leader:
        return phrase(
            "cheaper reader is alike",
            reader=take.name,
            leader=leader.name,
            cost=cost_words(take.cost(settings.articles), leader.cost(settings.articles)),
        )
    if len(alike) > 1:
        return phrase("leader is cheapest", reader=take.name)
    return phrase("leader stands alone", reader=take.name)


def cost_words(cost: float, other: float) -> str:
    """Say how a cost stands to a larger one.

    Parameters
    ----------
    cost, other : float

    Returns
    -------
    str

    Examples
    --------
    >>> from embargo.research.studies.adapt import cost_words
    >>> cost_words(1.0, 40.0), cost_words(0.7, 1.0), cost_words(1.0, 1.0)
    ('1/40 as much', '70% as much', 'as much')
    """
    if not math.isfinite(other):
        return "what is known, and the other does not"
    if other <= 0.0 or cost >= 0.95 * other:
        return "as much"
    if cost > 0.5 * other:
        return f"{100 * cost / other:.0f}% as much"
    return "next to nothing" if cost <= 1e-6 * other else f"1/{other / cost:,.0f} as much"


def money(value: float | None, currency: str) -> str:
    """Print an amount of any size with two digits that tell something.

    Parameters
    ----------
    value : float or None
    currency : str

    Returns
    -------
    str

    Examples
    --------
    >>> from embargo.research.studies.adapt import money
    >>> money(1234.5, "USD"), money(0.0421, "USD"), money(5.3e-7, "USD")
    ('1,234 USD', '0.042 USD', '5.3e−7 USD')
    """
    if value is None or not math.isfinite(value):
        return formats.MISSING
    if value <= 0.0:
        return f"0 {currency}"
    if value >= 100.0:
        return f"{value:,.0f} {currency}"
    if value < 1e-4:
        digits, _, power = f"{value:.1e}".partition("e-")
        return f"{digits}e\u2212{int(power)} {currency}"
    places = max(2, 1 - math.floor(math.log10(value)))
    return f"{value:,.{places}f} {currency}"


def apart_words(apart: Apart) -> str:
    """Print a difference with its interval and p-values, or why there is none."""
    if apart.difference is None:
        return apart.note or "not tested"
    if apart.p_value is None:
        return f"{formats.coefficient(apart.difference)} ({apart.note})"
    return (
        f"{formats.coefficient(apart.difference)} ({formats.interval((apart.low, apart.high), 'coefficient')}; "
        f"{formats.p_value(apart.p_value)}, two-sided, {formats.probability(apart.p_value_holm)} after Holm)"
    )


def _figure(measure: str, figure: float) -> str:
    return f"{'an' if MEASURES[measure][0] in 'aeio' else 'a'} {MEASURES[measure]} of {formats.coefficient(figure)}"


def _against(row: Row, other: Row, apart: Apart, measure: str) -> str:
    mine, theirs = row.quality(measure)[0], other.quality(measure)[0]
    return (
        f"{_figure(measure, mine)} against {formats.coefficient(theirs)} for {other.name}, "
        f"a difference of {apart_words(apart)}."
    )


def _guessing(row: Row, guess: Row, pairs: Sequence[Pair]) -> str:
    right, lost = (between(pairs, row.name, guess.name, name) for name in ("accuracy", "log_loss"))
    return (
        f"an accuracy of {formats.percent(row.accuracy)} against {formats.percent(guess.accuracy)} for {guess.name}, a "
        f"difference of {apart_words(right)}; a mean log loss of {formats.coefficient(row.log_loss)} nats against "
        f"{formats.coefficient(guess.log_loss)}, a difference of {apart_words(lost)}."
    )


def _choice_lines(
    take: Row, leader: Row, alike: Sequence[Row], pairs: Sequence[Pair], settings: AdaptSection
) -> list[str]:
    measure, number = settings.judge_by, formats.count(settings.articles)
    lines = []
    if take is not leader:
        apart = between(pairs, leader.name, take.name, measure)
        more = leader.cost(settings.articles) - take.cost(settings.articles)
        price = f"{money(more, settings.currency)} more" if math.isfinite(more) else "a cost that nobody knows"
        lines.append(
            f"{leader.name} has {_against(leader, take, apart, measure)} Take it only if what that interval leaves "
            f"open is worth {price} for {number} articles to you."
        )
    others = [row.name for row in alike if row is not take and row is not leader]
    if others:
        lines.append(f"Not told from {leader.name} either, and dearer than {take.name}: {', '.join(others)}.")
    return lines


def _volume_lines(take: Row, alike: Sequence[Row], settings: AdaptSection) -> list[str]:
    """Say where another of the readers that are alike becomes the cheaper one."""
    known = {row.name: row for row in alike if math.isfinite(row.cost(1.0))}
    crossings = break_evens({name: (row.cost(0.0), row.cost(1.0) - row.cost(0.0)) for name, row in known.items()})
    lines = []
    for crossing in crossings:
        if take.name not in (crossing.few, crossing.many):
            continue
        other = crossing.many if crossing.few == take.name else crossing.few
        side = "more" if crossing.few == take.name else "fewer"
        lines.append(
            f"Unless you read {side} than {formats.count(crossing.articles)} articles: then {other}, which it cannot "
            "be told from or is as good as, is cheaper."
        )
    return lines


def _money_lines(take: Row, trusted: Sequence[Row], pairs: Sequence[Pair], significance: float) -> list[str]:
    if take.traded is None:
        return []
    if take.sharpe is None:
        return [f"{take.name} never traded here, so what it would earn is not known."]
    if take.sharpe_p_value is None:
        return [f"{take.name} moved on too few bars for its Sharpe ratio of {formats.ratio(take.sharpe)} to be judged."]
    own = f"{formats.ratio(take.sharpe)} ({formats.interval((take.sharpe_low, take.sharpe_high))})"
    lines = []
    if take.sharpe_p_value >= significance:
        lines.append(
            f"That {take.name} earns anything after costs is not shown: its Sharpe ratio is {own}, "
            f"{formats.p_value(take.sharpe_p_value)}, one-sided."
        )
    else:
        told = f"{formats.p_value(take.sharpe_p_value)}, one-sided, as if it were the only attempt"
        lines.append(f"After costs the Sharpe ratio of {take.name} is {own}; {told}.")
    apart = {row.name: between(pairs, row.name, take.name, "sharpe") for row in trusted if row is not take}
    more = [name for name, one in apart.items() if one.stands(significance) and (one.difference or 0.0) > 0.0]
    less = [name for name, one in apart.items() if one.stands(significance) and (one.difference or 0.0) < 0.0]
    lines += [
        f"But {name} is shown to have a higher Sharpe ratio on the same bars, by {apart_words(apart[name])}: if you "
        f"trade as this study does, take {name}."
        for name in more
    ]
    if less:
        lines.append(f"Shown to have a lower Sharpe ratio than {take.name}: {', '.join(less)}.")
    tested = sum(one.p_value is not None for one in apart.values())
    if tested and not more and not less:
        lines.append(f"No other of these readers is shown to earn more or less than {take.name} on the same bars.")
    return lines


def _aside_lines(aside: Sequence[Row], able: Sequence[Row], measure: str) -> list[str]:
    highest = max((row.quality(measure)[0] for row in able), default=-math.inf)
    lines = []
    for row in aside:
        figure = row.quality(measure)[0]
        above = ", the highest of all," if figure > highest else ""
        lines.append(
            f"{row.name} has {_figure(measure, figure)}{above} and is set aside: it cannot be trusted on this window. "
            f"{row.trust_note}"
        )
    return lines


def _failed_lines(rows: Sequence[Row]) -> list[str]:
    return [f"{row.name} could not be carried out: {row.failed}" for row in rows if not row.ran]
