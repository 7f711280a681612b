"""How tasks are worded: templates read from TOML, checked, versioned and named by the hash of what they say.

Each thing that is asked has wordings to train on and one that is held out, so that a tuned model is measured on words
it was not tuned with.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.models.content import json_hash

InstructTask = Literal["understanding", "completion", "summary", "questions"]
TASKS: tuple[InstructTask, ...] = get_args(InstructTask)
BUILT_IN = "research-desk"
# What can be asked, and the kind of task that it belongs to.
ASKS: Mapping[str, InstructTask] = {
    **dict.fromkeys(("tone", "company", "direction", "figures"), "understanding"),
    "rest": "completion",
    **dict.fromkeys(("headline", "summary"), "summary"),
    **dict.fromkeys(("who", "how-much", "by-how-much", "when", "given"), "questions"),
}


@dataclass(frozen=True)
class Wording:
    r"""One wording of what is asked: what stands before the article and what stands after it.

    Examples
    --------
    >>> from embargo.models.instruct import Wording
    >>> Wording("News: ", "\n\nTone:").after
    '\n\nTone:'
    """

    before: str
    after: str


@dataclass(frozen=True)
class Templates:
    """The wordings of all that is asked.

    Attributes
    ----------
    name : str
    version : int
    tones : mapping of str to str
        What bearish, neutral and bullish are called in an answer.
    wordings : mapping of str to tuple of Wording
        To train on, by what is asked.
    held_out : mapping of str to Wording
        To measure on.
    hash : str
        sha256 over all that it says, names and version included.

    Examples
    --------
    >>> from embargo.models.instruct import load_templates
    >>> templates = load_templates()
    >>> templates.name, templates.tones["bullish"], len(templates.hash)
    ('research-desk', 'positive', 64)
    """

    name: str
    version: int
    tones: Mapping[str, str]
    wordings: Mapping[str, tuple[Wording, ...]]
    held_out: Mapping[str, Wording]
    hash: str


def load_templates(source: str | Path = BUILT_IN) -> Templates:
    """Read the product's own templates by name, or those in a TOML file.

    Parameters
    ----------
    source : str or Path
        ``"research-desk"``, or a path that ends in ``.toml``.

    Returns
    -------
    Templates

    Raises
    ------
    ConfigError
        If there are no such templates, or something in them is missing, unknown or not as it must be.

    Examples
    --------
    >>> from embargo.models.instruct import load_templates
    >>> load_templates("desk")
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: templates 'desk' are not known. Name 'research-desk', or a .toml file.
    """
    if str(source) == BUILT_IN:
        where, text = BUILT_IN, (files(__package__) / f"{BUILT_IN}.toml").read_text(encoding="utf-8")
    elif str(source).endswith(".toml"):
        where = str(source)
        try:
            text = Path(source).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as failure:
            raise ConfigError(f"{where}: cannot be read ({failure}). Check the path of the templates.") from failure
    else:
        raise ConfigError(f"templates {str(source)!r} are not known. Name {BUILT_IN!r}, or a .toml file.")
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as failure:
        raise ConfigError(f"{where}: not a TOML file: {failure}.") from failure
    return _checked(document, where)


def _checked(document: dict[str, Any], where: str) -> Templates:
    name, version, tones, asks = (document.get(key) for key in ("name", "version", "tones", "ask"))
    if not isinstance(name, str) or isinstance(version, bool) or not isinstance(version, int):
        raise ConfigError(f"{where}: needs a name (text) and a version (a whole number).")
    if not isinstance(tones, dict) or set(tones) != set(CLASSES) or len(set(map(str, tones.values()))) != len(CLASSES):
        raise ConfigError(f"{where}: [tones] must give {', '.join(CLASSES)} one word each, all different.")
    if not isinstance(asks, dict) or set(asks) != set(ASKS):
        missing, strange = sorted(set(ASKS) - set(asks or ())), sorted(set(asks or ()) - set(ASKS))
        raise ConfigError(f"{where}: [ask] lacks {missing or 'nothing'} and has the unknown {strange or 'nothing'}.")
    wordings, held_out = {}, {}
    for ask, entry in asks.items():
        at = f"{where}: ask.{ask}"
        if not isinstance(entry, dict) or entry.get("task") != ASKS[ask]:
            raise ConfigError(f"{at}.task must be {ASKS[ask]!r}.")
        given = entry.get("wordings")
        if not isinstance(given, list) or not given:
            raise ConfigError(f"{at}.wordings must be a list of texts.")
        wordings[ask] = tuple(_wording(one, ask, f"{at}.wordings") for one in given)
        held_out[ask] = _wording(entry.get("held_out"), ask, f"{at}.held_out")
        if held_out[ask] in wordings[ask]:
            raise ConfigError(f"{at}.held_out is among the wordings to train on. Word it otherwise.")
    return Templates(name, version, dict(tones), wordings, held_out, json_hash(document))


def _wording(text: Any, ask: str, where: str) -> Wording:
    if not isinstance(text, str) or text.count("{text}") != 1:
        raise ConfigError(f"{where}: {text!r} must hold {{text}} once.")
    before, _, after = text.partition("{text}")
    asked = (before + after).count("{question}")
    if asked != (1 if ask == "given" else 0) or "{question}" in before:
        raise ConfigError(
            f"{where}: {text!r} must hold {{question}} {'once, after {text}' if ask == 'given' else 'never'}."
        )
    if after != after.rstrip():
        # The answer begins with a space of its own: two would be two tokens, or one that no answer begins with.
        raise ConfigError(f"{where}: {text!r} must not end in white space.")
    if ask == "rest" and after:
        raise ConfigError(f"{where}: {text!r} must end with {{text}}, which the answer goes on with.")
    return Wording(before, after)
