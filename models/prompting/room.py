"""How many tokens a prompt may have, what of them its examples and its article get, and how texts are cut to that."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.loading.batches import LENGTH_STEP
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import Template

# Tokens below which an example or an earlier article is no longer one.
LEAST_ITEM, LEAST_ARTICLE = 8, 16
# Tokens that texts put together may have beyond those of the texts.
SLACK = 8
# A server does not lend its tokenizer: few of them need more than one token for three bytes.
BYTES_PER_TOKEN = 3
# Pieces of prompts that are kept at hand.
REMEMBERED = 8192


def item_room(settings: PromptSettings, template: Template, limit: int, count: Callable[[str], int]) -> int:
    """Return the tokens that each example and earlier article may have: together two thirds of what is left.

    Parameters
    ----------
    settings : PromptSettings
    template : Template
    limit : int
        Tokens of a whole prompt with its answer.
    count : callable
        Number of tokens of a piece of text.

    Raises
    ------
    ConfigError
        If that is too little, or the article has no room.

    Examples
    --------
    >>> from embargo.models.prompting import PromptSettings, load_template
    >>> from embargo.models.prompting.room import item_room
    >>> item_room(PromptSettings(examples=6), load_template("news-sentiment"), 1024, lambda text: len(text) // 3)
    99
    """
    number = settings.examples
    gap, label = template.separator, max(answers_of(template), key=count)
    frame = count(template.instruction + gap + template.question("") + label)
    room = limit - SLACK - frame
    if limit < settings.max_tokens:
        reads = limit + LENGTH_STEP
        more = (
            f"The model itself reads {reads} tokens, so that prompt.max_tokens = {settings.max_tokens} changes nothing"
        )
        bigger = "choose a model that reads more"
    else:
        more, bigger = f"That is prompt.max_tokens = {settings.max_tokens}", "raise it"
    if room < LEAST_ARTICLE:
        raise ConfigError(
            f"prompt.template: {template.name!r} alone takes {frame} of {limit} tokens, and leaves no room for an "
            f"article. {more}: {bigger}, or choose a shorter template."
        )
    around = number * count(gap + template.question("") + label)
    if settings.retrieve != "none":
        number += settings.retrieved
        around += settings.retrieved * count(gap + template.earlier(""))
    if not number:
        return 0
    each = (room * 2 // 3 - around) // number
    if each < LEAST_ITEM:
        raise ConfigError(
            f"prompt: {number} examples and earlier articles leave {max(each, 0)} tokens for each within two "
            f"thirds of the {room} of {limit} that the template leaves. {more}: {bigger}, or ask for fewer "
            "(prompt.examples, prompt.retrieved)."
        )
    return each


def check_room(settings: PromptSettings, template: Template, tokenizer: Any) -> None:
    """Refuse what does not fit into what a model reads, by its tokenizer; ConfigError says what is in the way."""
    limit, count, _ = measure(settings, tokenizer)
    item_room(settings, template, limit, count)


def room_doubt(settings: PromptSettings, template: Template, reads: int) -> str | None:
    """Say whether prompts will not fit into a model that is not made yet; None where they seem to.

    Parameters
    ----------
    settings : PromptSettings
    template : Template
    reads : int
        Tokens that it will read.

    Returns
    -------
    str or None
        What is in the way by about three bytes a token, which vocabularies made of little text do not reach.

    Raises
    ------
    ConfigError
        If they do not fit even where every word is one token.

    Examples
    --------
    >>> from embargo.models.prompting import PromptSettings, load_template
    >>> from embargo.models.prompting.room import room_doubt
    >>> room_doubt(PromptSettings(), load_template("news-sentiment"), 512) is None
    True
    """
    limit = min(settings.max_tokens, reads - LENGTH_STEP)
    item_room(settings, template, limit, lambda text: len(text.split()))
    try:
        item_room(settings, template, limit, _by_bytes)
    except ConfigError as failure:
        return str(failure)
    return None


def answers_of(template: Template) -> tuple[str, ...]:
    """Return what stands behind a prompt for bearish, neutral and bullish."""
    return tuple(template.answered(label) for label in range(len(CLASSES)))


def _by_bytes(text: str) -> int:
    return -(-len(text.encode("utf-8")) // BYTES_PER_TOKEN)


def measure(settings: PromptSettings, tokenizer: Any | None) -> tuple[int, Callable[[str], int], tuple[str, ...]]:
    """Return the tokens of a whole prompt with its answer, what counts those of a text, and the tokens of control.

    Without the tokenizer of the model that is asked, a token is taken for three bytes.
    """
    if tokenizer is None:
        return settings.max_tokens, _by_bytes, ()

    @lru_cache(maxsize=REMEMBERED)
    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"])

    added = getattr(tokenizer, "added_tokens_decoder", {})
    specials = {str(token) for token in added.values() if getattr(token, "special", False)}
    # Padding too must be within what the model reads.
    limit = min(settings.max_tokens, int(tokenizer.model_max_length) - LENGTH_STEP)
    return limit, count, tuple(sorted(specials | {str(token) for token in tokenizer.all_special_tokens}))


def cut(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """Return as many whole words of a text as have so many tokens, or of its first word what fits."""
    if len(text.encode("utf-8")) <= tokens or count(text) <= tokens:
        return text
    words = text.split(" ")
    kept = _longest(len(words), lambda number: count(" ".join(words[:number])) <= tokens)
    if kept:
        return " ".join(words[:kept])
    return text[: _longest(len(words[0]), lambda number: count(text[:number]) <= tokens)]


def _longest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to ``most`` that fits, 0 if none does; what fits, fits when it is shorter."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
