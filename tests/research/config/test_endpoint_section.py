"""A key that was put into a config by mistake is refused, and stands in no message, traceback or file."""

from __future__ import annotations

import traceback

import pytest

from embargo.data_loaders.errors import ConfigError
from embargo.research.config.model import ModelSection
from embargo.research.config.settings import checked

KEY = "sk-proj-abcdefghijklmnopqrstuvwx"
FINE = {"url": "https://host/v1", "model": "a-model", "key": "MY_KEY"}


def config(endpoint: dict, **model) -> ModelSection:
    return checked(ModelSection, {"kind": "endpoint", "endpoint": endpoint, **model}, where="mine.toml")


def test_a_sound_section_is_read():
    section = config(FINE | {"max_cost": 2.0, "prompt_price": 1, "completion_price": 2}).endpoint
    assert (section.timeout, section.max_unanswered, section.changes) == ("60s", 0.05, "refuse")
    assert config(FINE).prompt is not None


@pytest.mark.parametrize(
    ("given", "model", "said"),
    [
        ({"key": KEY}, {}, "endpoint.key: is no name of a variable of the environment"),
        ({"key": KEY, "timeout": "soon"}, {}, "endpoint.timeout"),
        ({"url": f"https://{KEY}@host/v1"}, {}, "endpoint.url: must be the bare address"),
        ({"url": f"https://host/v1?key={KEY}"}, {}, "must be the bare address"),
        ({"url": "http://host.example/v1"}, {}, "is not encrypted"),
        ({"model": KEY}, {}, "endpoint.model: looks like a key"),
        ({"api_key": KEY}, {}, "unknown key"),
        ({"samples": KEY}, {}, "endpoint.samples"),
        # Whatever else is wrong, the whole section may be what was given.
        ({"key": KEY}, {"scores": {"path": "x"}}, "endpoint.key"),
        ({"key": KEY.upper().replace("-", "") * 2}, {}, "no name of a variable"),
        ({"max_cost": 1.0}, {}, "needs prompt_price and completion_price"),
    ],
)
def test_what_is_wrong_is_told_without_a_key(given, model, said):
    with pytest.raises(ConfigError, match=said) as caught:
        config(FINE | given, **model)
    told = "".join(traceback.format_exception(caught.value))
    for part in (KEY, KEY.upper().replace("-", ""), "abcdefghijklmnop"):
        assert part not in told


def test_a_section_that_is_wrong_as_a_whole_does_not_show_its_values():
    document = {"kind": "linear", "endpoint": FINE | {"model": "m"}}
    with pytest.raises(ConfigError, match="belongs to kind") as caught:
        checked(ModelSection, document, where="mine.toml")
    assert "mine.toml" in str(caught.value)
