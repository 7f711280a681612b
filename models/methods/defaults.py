"""How to tune when nobody says otherwise: settings from the method, the number of examples and the base's width.

The figures are those of the literature on adapters, with the reason beside each, but for the rates of narrow bases,
which were measured. They are a start and not a search.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embargo.models.bases.resolve import Base
from embargo.models.methods.cards import METHODS, MethodCard, check_method, virtual_tokens
from embargo.models.methods.settings import TuneSettings

NARROW = 256
MIDDLE = 512
WIDE = 2048
FEW = 1_000
MANY = 10_000
# Rank by number of examples: 4 to 8 under a thousand, 8 to 16 up to ten thousand, 16 to 32 above.
RANKS = ((300, 4), (3_000, 8), (30_000, 16))
LARGEST_RANK = 32


@dataclass(frozen=True)
class DefaultSetting:
    """A setting, its default value, and why.

    Examples
    --------
    >>> from embargo.models.methods import DefaultSetting
    >>> DefaultSetting("clip", 1.0, "usual").value
    1.0
    """

    setting: str
    value: Any
    why: str


def default_settings(method: str, n_train: int, base: Base) -> TuneSettings:
    """Return the settings with which to tune a base on so many examples.

    Parameters
    ----------
    method : str
        A name of `METHODS`.
    n_train : int
        Training examples.
    base : Base

    Returns
    -------
    TuneSettings

    Raises
    ------
    ConfigError
        If the base cannot take the method.

    Examples
    --------
    >>> from embargo.models import default_settings, resolve_base
    >>> chosen = default_settings("qlora", 2_000, resolve_base("minilm"))
    >>> chosen.rank, chosen.learning_rate, chosen.epochs
    (8, 0.001, 8)
    """
    return TuneSettings(**{row.setting: row.value for row in _rows(method, n_train, base)})


def explain_settings(method: str, n_train: int, base: Base) -> list[DefaultSetting]:
    """Return every setting of `default_settings` with its reason, in the order of `TuneSettings`.

    Parameters
    ----------
    method : str
        A name of `METHODS`.
    n_train : int
        Training examples.
    base : Base

    Returns
    -------
    list of DefaultSetting

    Raises
    ------
    ConfigError
        If the base cannot take the method.

    Examples
    --------
    >>> from embargo.models import explain_settings, resolve_base
    >>> rows = explain_settings("qlora", 2_000, resolve_base("minilm"))
    >>> print(f"{rows[1].setting} {rows[1].value}: {rows[1].why}")
    rank 8: rank of the update of each adapted layer; 2,000 examples: 4-8 under 1,000, 8-16 up to 10,000, 16-32 above
    """
    reasons = {row.setting: row.why for row in _rows(method, n_train, base)}
    settings = asdict(default_settings(method, n_train, base))
    return [
        DefaultSetting(name, value, reasons.get(name, "the same for every method")) for name, value in settings.items()
    ]


def _rows(method: str, n_train: int, base: Base) -> list[DefaultSetting]:
    check_method(method, base, "all-linear")
    card = METHODS[method]
    width = base.width or NARROW
    few, many = n_train < FEW, n_train > MANY
    rank = next((rank for most, rank in RANKS if n_train < most), LARGEST_RANK)
    examples = f"{n_train:,} examples"
    means = f"{card.rank}; " if card.rank else f"{method} has none; "
    large = width >= WIDE
    size = f"the base is {width} wide"
    rows = [
        DefaultSetting("method", method, f"{card.title} ({card.paper})" if card.paper else card.title),
        DefaultSetting("rank", rank, f"{means}{examples}: 4-8 under 1,000, 8-16 up to 10,000, 16-32 above"),
        DefaultSetting("alpha", 2.0 * rank, "twice the rank" if not virtual_tokens(method, rank) else "not used"),
        DefaultSetting("dropout", 0.1 if few else 0.05, f"{examples}: the fewer, the more is dropped"),
        DefaultSetting("target", "all-linear", "learns more at the same rate and rank than queries and values alone"),
        _rate(card, width),
        DefaultSetting("epochs", 3 if many else 8, f"{examples}; early stopping ends it sooner"),
        DefaultSetting("batch_size", 16 if few else 32, f"{examples}: enough steps to learn in"),
        DefaultSetting("patience", 3, "passes without improvement before it stops"),
        DefaultSetting("min_delta", 0.001, "what counts as improvement, in nats"),
        DefaultSetting("warmup", 0.1 if few else 0.06, "5-10 % of the steps, then half a cosine"),
        DefaultSetting("weight_decay", 0.1 if few else 0.01, f"{examples}: the fewer, the more it is held back"),
        DefaultSetting("clip", 1.0, "usual"),
        DefaultSetting(
            "micro_batch", 8 if large else None, f"{size}: {'a step in parts' if large else 'a step fits memory'}"
        ),
        DefaultSetting("checkpointing", large and method != "prefix", size),
    ]
    if card.change != "low-rank":
        unused = {"dropout", "alpha", "target"} | (set() if card.change == "prompt" else {"rank"})
        if method == "none":
            unused = {row.setting for row in rows} - {"method"}
        rows = [
            DefaultSetting(row.setting, row.value, "not used by it") if row.setting in unused else row for row in rows
        ]
    return rows


def _rate(card: MethodCard, width: int) -> DefaultSetting:
    usual = f"usual for {card.title}"
    for bound, rate in ((NARROW, card.narrow_rate), (MIDDLE, card.middle_rate)):
        if width < bound:
            slow = f"the base is {width} wide, and less than {bound} learns too slowly at {card.learning_rate:g}"
            return DefaultSetting("learning_rate", rate, slow if rate > card.learning_rate else usual)
    return DefaultSetting("learning_rate", card.learning_rate, usual)
