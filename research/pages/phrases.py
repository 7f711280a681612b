"""The phrases in which pages, terminal and notebook conclude, each with what it may claim.

A conclusion is said in one of these and in no other words, so that a reader can look up what it means and a test can
hold every page against the table. What no test showed is "not shown", never "nothing"; a p-value says how often chance
would do as well, never how probable skill is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Phrase:
    """A conclusion in words.

    Attributes
    ----------
    text : str
        As it is printed; names in braces are filled in.
    claims : str
        What it may be said of, and what it leaves open.

    Examples
    --------
    >>> from embargo.research.pages import PHRASES
    >>> PHRASES["edge not shown"].claims
    'One of the two tests of a verdict, or both, did not reject. It does not say that there is no edge.'
    """

    text: str
    claims: str


PHRASES: Mapping[str, Phrase] = MappingProxyType(
    {
        "edge": Phrase(
            "The signal earned more after costs than chance explains.",
            "The shuffled news and the Sharpe ratio after all attempts both reject at the level, one-sided, the audit "
            "proved no leak and no check calls the data bad. It does not say that the signal will go on earning.",
        ),
        "edge not shown": Phrase(
            "An edge is not shown: chance could have made this result.",
            "One of the two tests of a verdict, or both, did not reject. It does not say that there is no edge.",
        ),
        "lost, edge not shown": Phrase(
            "An edge is not shown: the signal lost more after costs than chance explains.",
            "The interval of the Sharpe ratio lies below zero. It does not say that the opposite signal would earn.",
        ),
        "edge withheld": Phrase(
            "No edge is claimed: chance does not explain the returns, but the data are bad.",
            "Both tests of a verdict reject, of returns that faulty prices or news may have made.",
        ),
        "size not known": Phrase(
            "No edge is claimed: on a sample like this the tests are not known to hold their level.",
            "Both tests of a verdict reject, but in samples of this shape they may reject worthless signals more often "
            "than the level says. It does not say that there is no edge.",
        ),
        "not judged": Phrase(
            "Not judged: the strategy never traded.",
            "There is no return to judge. The report counts what kept it from trading.",
        ),
        "leak": Phrase(
            "Invalid: this run saw the future.",
            "The audit proved a leak. It says nothing of what the signal would be worth without it.",
        ),
        "difference not shown": Phrase(
            "A difference to {base} over all bars is not shown: chance could have made what there is.",
            "After Holm's correction no two-sided test of equal Sharpe ratios rejects. It does not say that they are "
            "equal; the probability of that stands beside it.",
        ),
        "difference not tested": Phrase(
            "No run can be tested against {base}.",
            "No pair of runs has enough bars on which their returns differ.",
        ),
        "information not shown": Phrase(
            "Information is not shown at any horizon: chance could have made these coefficients.",
            "After Holm's correction no two-sided test of a coefficient of 0 rejects.",
        ),
        "above zero": Phrase(
            "above zero (Holm's p, one-sided, below {level})",
            "The test of a true Sharpe ratio of 0 or less in this regime rejects after Holm's correction.",
        ),
        "above zero not shown": Phrase(
            "not shown to be above zero",
            "That test does not reject. It does not say that the Sharpe ratio is 0 or less.",
        ),
        "reader is better": Phrase(
            "Take {reader}: it is shown to read better than every other reader here that can be trusted.",
            "On the figure that was named beforehand, the paired test against every other trusted reader rejects after "
            "Holm's correction. It says nothing of readers that were not tried.",
        ),
        "cheaper reader is alike": Phrase(
            "Take {reader}: it cannot be told from {leader} here, and costs {cost}.",
            "Both are shown to know more than guessing, where there is a row for that, and the paired test between "
            "them does not reject. It does not say that they are equal; the interval of the difference stands below.",
        ),
        "leader is cheapest": Phrase(
            "Take {reader}: no reader here that can be trusted is shown to read better, and those that it cannot be "
            "told from cost more.",
            "Its figure is the highest among those shown to know more than guessing. It is not shown to be better "
            "than the others.",
        ),
        "leader stands alone": Phrase(
            "Take {reader}: it alone is shown to know more than guessing without being shown to be worse than another.",
            "The other trusted readers are not shown to know more than guessing, or are shown to be worse. Of the "
            "former it is not shown to be better.",
        ),
        "no reader beats guessing": Phrase(
            "No reader can be recommended: none is shown to know more than guessing by the classes alone.",
            "After Holm's correction, and at half the level each, no reader is shown to be more often right than the "
            "commonest class, or to have a lower mean log loss than the class shares. It does not say that none knows "
            "more.",
        ),
        "no reader can be trusted": Phrase(
            "No reader can be recommended: none that was carried out is known to end before the test begins.",
            "Each may remember what it is tested on. It does not say that any does.",
        ),
        "choice like chance": Phrase(
            "as chance alone gives",
            "The share lies where it lies in 95 % of panels of cells of which none is better. It is no overfitting.",
        ),
        "choice carried over": Phrase(
            "less than chance alone gives: what was chosen stayed ahead",
            "The share lies below that range: the cells differ, and part of the difference lasted.",
        ),
        "choice turned": Phrase(
            "more than chance alone gives: what was chosen fell behind",
            "The share lies above that range: choosing by these bars misleads.",
        ),
    }
)


def phrase(name: str, **values: object) -> str:
    """Return a phrase of the table with its names filled in.

    Parameters
    ----------
    name : str
        Its key in ``PHRASES``.
    **values : object
        What stands for the names in braces.

    Returns
    -------
    str

    Examples
    --------
    >>> from embargo.research.pages import phrase
    >>> phrase("difference not tested", base="mine")
    'No run can be tested against mine.'
    """
    return PHRASES[name].text.format(**values)
