"""Checks that a run does not ask, because they cost readings: what each promises, and which command asks it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embargo.backtest.leakage.catalogue import LeakCheck

_PROBE = "embargo audit --probe"
_LATER = "trust only what lies after the model's cutoff, or take a model whose knowledge ends before the test"

# By the name of the function in the door of `embargo.backtest.leakage.memory`.
ON_REQUEST: Mapping[str, LeakCheck] = MappingProxyType(
    {
        "check_recall_after_cutoff": LeakCheck(
            "M2",
            "Nothing is recalled of days after the stated cutoff",
            catches="answers to bare dates, or to another day's news, that forecast returns after the stated cutoff",
            silent_on="knowledge that forecasts no return, and memory that needs the wording of a text",
            cost="articles, five readings each",
            severity="leak",
            remedy="find out until when the model's knowledge reaches, state it, and test on later news",
            asked_by=_PROBE,
        ),
        "check_date_recall": LeakCheck(
            "M3",
            "A bare symbol and date say nothing of the return",
            catches="a reader whose answer to a symbol and a date alone forecasts that day's return",
            silent_on="memory that needs more than a date to come up",
            cost="articles, four readings each",
            severity="leak",
            remedy=_LATER,
            asked_by=_PROBE,
        ),
        "check_lent_news": LeakCheck(
            "M3",
            "Another day's news told of a symbol and date say nothing of its return",
            catches="a reader that says nothing to a bare date, but recalls whom and when in a text like those it read",
            silent_on="memory that needs the wording of a text",
            cost="articles, three readings each",
            severity="leak",
            remedy=_LATER,
            asked_by=_PROBE,
        ),
        "check_lookahead_propensity": LeakCheck(
            "M3",
            "Forecasts are not better where a date is recalled",
            catches="forecasts that are more accurate where a date alone moves the answer more",
            silent_on="a reader that recalls every day alike",
            cost="articles, four readings each",
            severity="suspicious",
            remedy=_LATER,
            asked_by=_PROBE,
        ),
        "check_membership": LeakCheck(
            "M4",
            "Texts from before the cutoff are no more familiar than later ones",
            catches="a step at the cutoff in how likely (Min-K%++) or how sure a model finds texts, beyond their drift",
            silent_on="a cutoff outside the test window, or declared too early; sources that changed their style at it",
            cost="articles, one reading each",
            severity="suspicious",
            remedy="test on texts from after the cutoff, or see what the model makes of those it has seen",
            asked_by=_PROBE,
        ),
        "check_masked_forecasts": LeakCheck(
            "M5",
            "Forecasts do not rest on whom a text names",
            catches="forecasts that are worth less once names and dates are masked, beyond the loss after the cutoff",
            silent_on="memory of a text by its wording, and names that leakage.names does not tell",
            cost="articles, two readings each",
            severity="suspicious",
            remedy="score masked texts, or trust only what lies after the model's cutoff",
            asked_by=_PROBE,
        ),
        "check_reidentification": LeakCheck(
            "M6",
            "Masked texts do not tell whom they are about",
            catches="masked texts that a classifier fitted on other days' texts attributes better than guesses do",
            silent_on="what a language model recognises and that classifier does not",
            cost="articles",
            severity="suspicious",
            remedy="add the words that give a company away to its names, and mask again",
            asked_by=_PROBE,
        ),
        "check_redated_forecasts": LeakCheck(
            "M7",
            "Forecasts do not rest on which day a text names",
            catches="forecasts that are worth less under a false date than under the true one",
            silent_on="memory that needs no date",
            cost="articles, two readings each",
            severity="suspicious",
            remedy="take the dates out of what the model is shown, or trust only what lies after its cutoff",
            asked_by=_PROBE,
        ),
        "check_counterfactual_readings": LeakCheck(
            "M8",
            "Forecasts follow a text that is turned round",
            catches="readings that stay when outcomes in a text are turned round, and are right",
            silent_on="memory of a reader that lets the text overrule it",
            cost="articles, two readings each",
            severity="suspicious",
            remedy="trust only what lies after the model's cutoff",
            asked_by=_PROBE,
        ),
    }
)
