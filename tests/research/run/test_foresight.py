"""What is wrong with a prompt is told by ``validate``, before anything is trained or asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples.small_runs import embargo, settings

from embargo.data_loaders.errors import ConfigError
from embargo.research.config.experiment import load_config
from embargo.research.config.names import names_of
from embargo.research.examples.shipped import example
from embargo.research.progress import Quiet
from embargo.research.run.bases import given_base
from embargo.research.run.foresight import prompt_cautions
from embargo.research.run.plan import Plan
from embargo.research.run.preparation import prepare

PROMPTED = ("model.kind=prompted", "model.base=tiny-lm")
WORDS = """
name = "mine"
version = "1"
instruction = "{}"
article = "News: [{{text}}]\\nTone:"
answer = " {{label}}"
retrieved = "{}: [{{text}}]"
separator = "\\n\\n"
[labels]
bearish = "negative"
neutral = "neutral"
bullish = "positive"
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    with example("small") as path:
        return prepare(load_config(path, list(PROMPTED)), Quiet())


def told(plan: Plan, *overrides: str) -> list[str]:
    with example("small") as path:
        return prompt_cautions(replace(plan, config=load_config(path, list(overrides))))


@pytest.mark.parametrize(
    ("instruction", "retrieved", "said"),
    [
        ("Is it good?", "Earlier", None),
        ("As of June 2024, is it good?", "Earlier", "call it a leak"),
        ("Is it good?", "Known since March 2031", "call it a leak"),
        ("Is it good, as in 2009?", "Earlier", "call it suspicious"),
        ("Is it good for {company}?", "Earlier", "call it suspicious"),
    ],
)
def test_what_a_template_knows_is_told(
    plan: Plan, tmp_path: Path, instruction: str, retrieved: str, said: str | None
) -> None:
    company = next(iter((names_of(plan.config) or {}).values()))[0]
    instruction = instruction.replace("{company}", company)
    (tmp_path / "mine.toml").write_text(WORDS.format(instruction, retrieved))
    found = told(plan, *PROMPTED, f"model.prompt.template={tmp_path / 'mine.toml'}")
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_prompts_that_do_not_fit_are_told_or_refused_before_the_base_is_made(plan: Plan) -> None:
    (doubt,) = told(plan, *PROMPTED, "model.prompt.examples=18", "model.prompt.retrieve=bm25")
    assert "The model itself reads 512 tokens" in doubt
    with example("small") as path:
        config = load_config(path, [*PROMPTED, "model.prompt.examples=60"])
    with pytest.raises(ConfigError, match="The model itself reads 512 tokens"):
        given_base(config.model)


def test_a_key_that_is_not_set_is_told_and_nothing_fails(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (
        "model.kind=endpoint", "model.endpoint.url=http://127.0.0.1:9/v1", "model.endpoint.model=a-model",
        "model.endpoint.key=KEY_OF_NOBODY",
    )  # fmt: skip
    monkeypatch.delenv("KEY_OF_NOBODY", raising=False)
    with example("small") as path:
        result = embargo("validate", path, *settings(*asked))
    assert result.exit_code == 0, result.output
    assert "$KEY_OF_NOBODY is not set" in result.output
    monkeypatch.setenv("KEY_OF_NOBODY", "k")
    assert not told(plan, *asked)
