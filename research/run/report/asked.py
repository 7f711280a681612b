"""The table of what was asked of a model behind an address: requests, tokens, cost, time, and what has no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embargo.research.pages import formats
from embargo.research.pages.tables import ReportTable

_SUMMED = ("texts", "answered", "requests", "failed", "prompt_tokens", "completion_tokens", "cost", "upper_bounds")
_WITHOUT = ("refused", "filtered", "empty", "unreadable")
# Texts by whose number it is no chance that none of their draws differ.
_CHANCE = 10
_HEAD = (
    "Fold", "Texts", "Without answer", "Requests", "Failed", "Prompt tokens", "Answer tokens", "Cost", "Wall seconds",
    "CPU seconds",
)  # fmt: skip


def asked_table(manifests: Sequence[Mapping[str, Any]]) -> ReportTable | None:
    """Return what each fold's answers took, with their sum; None where none were paid for.

    Parameters
    ----------
    manifests : sequence of mapping
        Of the folds, whose ``asked`` is as `embargo.models.endpoints.Journal.account` gives it.
    """
    accounts = [(str(each["fold"]), each["asked"]) for each in manifests if each.get("asked")]
    if not accounts:
        return None
    numbers = (*_SUMMED, *_WITHOUT, "wall_seconds", "cpu_seconds")
    total = {name: sum(account[name] for _, account in accounts) for name in numbers}
    rows = [_row(fold, account) for fold, account in accounts]
    if len(rows) > 1:
        rows.append(_row("all", total))
    why = ", ".join(f"{total[name]:,} {name}" for name in _WITHOUT if total[name])
    note = "Each text is asked of once and kept; what a fold needs that an earlier one asked is counted there. "
    note += f"Without an answer: {why}; their shares are equal, which says nothing. " if why else ""
    drawn = [account for _, account in accounts if account.get("unanimous") is not None]
    if drawn and total["answered"] > _CHANCE and sum(account["unanimous"] for account in drawn) == total["answered"]:
        note += (
            "All draws of every text named one class: either the model is sure of each, or the server draws nothing "
            "and says the likeliest again, as some do whatever temperature they are sent. "
        )
    bounds = total["upper_bounds"]
    note += f"{bounds:,} requests nobody counted stand at the most they can be. " if bounds else ""
    note += "Seconds of requests side by side add up."
    return ReportTable("What was asked of the endpoint", note, _HEAD, tuple(rows))


def _row(fold: str, account: Mapping[str, Any]) -> tuple[str, ...]:
    without = sum(account[name] for name in _WITHOUT)
    counted = (account["texts"], without, *(account[name] for name in ("requests", "failed")))
    tokens = (account["prompt_tokens"], account["completion_tokens"])
    return (
        fold,
        *(formats.count(number) for number in (*counted, *tokens)),
        f"{account['cost']:.4f}",
        f"{account['wall_seconds']:.1f}",
        f"{account['cpu_seconds']:.1f}",
    )
