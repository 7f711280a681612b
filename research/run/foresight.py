"""What can be told of a reader that is asked in words before it is asked: its template, its room, its key.

Nothing is trained, and nothing here reaches the network. What is found is said; what cannot work at all is refused
where the base is looked for.
"""

from __future__ import annotations

import os

import pandas as pd

from embargo.backtest.leakage import check_template
from embargo.models.bases.resolve import BUILT_IN_DECODERS
from embargo.models.prompting.room import room_doubt
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import LABEL, TEXT, Template, load_template
from embargo.models.tuning.tiny_lm import TinyLmSettings
from embargo.research.config.model import ReaderSection
from embargo.research.config.names import names_of
from embargo.research.run.plan import Plan


def prompt_cautions(plan: Plan) -> list[str]:
    """Say what is doubtful about the prompts of a run's reader and of its teacher, and which key is not there.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from embargo.research import Quiet, load_config, prepare
    >>> from embargo.research.run.foresight import prompt_cautions
    >>> prompt_cautions(prepare(load_config(files("embargo.research.examples") / "small.toml"), Quiet()))
    []
    """
    model, teacher = plan.config.model, plan.config.model.teacher
    readers: list[tuple[str, ReaderSection]] = [("model", model)]
    readers += [] if teacher is None else [("model.distill.teacher", teacher)]
    found = []
    for where, reader in readers:
        if reader.kind not in ("prompted", "endpoint"):
            continue
        settings = PromptSettings(**({} if reader.prompt is None else reader.prompt.model_dump()))
        template = load_template(settings.template)
        found += _known_by_words(plan, where, template)
        if reader.kind == "prompted" and reader.base in BUILT_IN_DECODERS:
            doubt = room_doubt(settings, template, TinyLmSettings().max_length)
            found += [] if doubt is None else [f"{where}.prompt may not fit, at about three bytes a token. {doubt}"]
        key = None if reader.endpoint is None else reader.endpoint.key
        if key is not None and not os.environ.get(key, "").strip():
            found.append(
                f"{where}.endpoint.key: ${key} is not set in this environment. A run needs it, unless all that it asks "
                "was answered before: export the key under that name first."
            )
    return found


def _known_by_words(plan: Plan, where: str, template: Template) -> list[str]:
    """Ask the audit's own check of templates (R4) what a template's words know on the first day that is decided."""
    forms = (template.instruction, template.article, template.answer, template.retrieved)
    words = "\n".join(form.replace(TEXT, "\n").replace(LABEL, "\n") for form in (*forms, *template.labels))
    called = names_of(plan.config) or {}
    prompts = pd.DataFrame({"article_id": [""], "asked_at": [plan.decided_at[0]], "fixed": [words]})
    finding = check_template(prompts, {symbol: called.get(symbol, ()) for symbol in plan.world.prices.symbols})
    if finding.verdict == "pass":
        return []
    listed = "; ".join(dict.fromkeys(f"{row['found']!r} ({row['why']})" for row in finding.evidence[:5]))
    grave = finding.verdict == "leak"
    end = "the audit will call it a leak" if grave else "the audit will call it suspicious"
    said = f"{where}.prompt.template = {template.name!r} holds what a template need not know: {listed}."
    return [f"{said} Every prompt knows it, so that {end} (R4): take it out before anything is asked."]
