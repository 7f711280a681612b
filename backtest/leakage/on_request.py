"""The checks that ask more than a run has: the deep audit and the probes of a reader."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from embargo.backtest.leakage.leaks import LeakCheck

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
            catches="a step at the cutoff in how likely a causal model finds texts (Min-K%++), beyond their drift",
            silent_on="readers without a causal base, a cutoff outside the test, sources that changed style at it",
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
        "check_leading_names": LeakCheck(
            "M5",
            "The same news gets the same answer whoever is named",
            catches="a reader of which the name makes a quarter or more of what varies in its answers",
            silent_on="names that move the answer less, and memory that needs more than a name",
            cost="articles, three readings each",
            severity="suspicious",
            remedy="score masked texts, or take a reader that does not go by names",
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
        "check_repeated_readings": LeakCheck(
            "M13",
            "A text that is read again gets the same answer",
            catches="sampling, dropout, or an alias behind which models change: two answers that differ by 0.01",
            silent_on="a model that changed before it was asked twice, or changes later",
            cost="texts, two readings each, of 64",
            severity="suspicious",
            remedy="read with sampling off, and name the model by its revision",
            asked_by=_PROBE,
        ),
    }
)
