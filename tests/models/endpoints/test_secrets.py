"""Keys are refused where they do not belong, and blotted out of what is printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.errors import ConfigError
from embargo.models import EndpointSettings
from embargo.models.endpoints.secrets import HIDDEN, fault_of_address, fault_of_name, holds_key, is_loopback, scrubbed

KEYS = [
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "gsk_0123456789abcdefghij",
    "hf_AbCdEfGhIjKlMnOpQrStUv",
    "AIzaSyA1234567890abcdefghijk",
    "xai-0123456789abcdef0123",
    "0123456789abcdef0123456789abcdef",
    "nvapi-abcdefghijklmnop123",
]


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_known_by_their_look(key):
    assert holds_key(key)
    assert fault_of_name(key) is not None
    for place in (f"https://{key}@host/v1", f"https://host/v1?api_key={key}", f"https://host/{key}/v1"):
        fault = fault_of_address(place, with_key=False)
        assert fault is not None
        assert key not in fault
    assert key not in scrubbed(f"Incorrect API key provided: {key}. Authorization: Bearer {key}")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "KEY", "_K2", "MY_COMPANY_LLM_GATEWAY_KEY_2024"])
def test_names_of_variables_are_no_keys(name):
    assert fault_of_name(name) is None


@pytest.mark.parametrize(
    "name", ["openai_api_key", "my key", "", "2KEY", "A" * 65, "ABCDEFGHIJ0123456789XYZ", "Open sesame"]
)
def test_what_is_no_name_is_refused_unseen(name):
    fault = fault_of_name(name)
    assert fault is not None
    assert not name or name not in fault


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-mini-2024-07-18",
        "meta-llama/Llama-3.1-8B-Instruct",
        "claude-sonnet-4-20250514",
        "deepseek-reasoner",
        "/models/tiny.gguf",
    ],
)
def test_names_of_models_are_no_keys(model):
    assert not holds_key(model)


@pytest.mark.parametrize(
    ("url", "with_key", "fine"),
    [
        ("https://api.example.org/v1", True, True),
        ("http://127.0.0.1:8080/v1", True, True),
        ("http://[::1]:80/v1", True, True),
        ("http://localhost/v1", True, True),
        ("http://192.168.0.3:8000/v1", False, True),
        ("http://192.168.0.3:8000/v1", True, False),
        ("http://127.0.0.1.evil.org/v1", True, False),
        ("http://localhost.evil.org/v1", True, False),
        ("ftp://host/v1", False, False),
        ("host/v1", False, False),
        ("", False, False),
        ("http://", False, False),
        ("http://host:port/v1", False, False),
        ("https://host/v1?api-version=1", False, False),
        ("https://host/v1#x", False, False),
        ("https://me@host/v1", False, False),
    ],
)
def test_where_a_key_may_travel(url, with_key, fine):
    assert (fault_of_address(url, with_key=with_key) is None) == fine


def test_this_machine_is_known_by_its_whole_name():
    assert is_loopback("http://127.8.9.1/v1")
    assert not is_loopback("http://1127.0.0.1/v1")


@given(st.text(min_size=8, max_size=30), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_that_is_named_never_stays(secret, before, after):
    # What stands in its place must not itself be taken for it.
    if secret not in HIDDEN:
        assert secret not in scrubbed(before + secret + after, secret) or secret in (before + HIDDEN + after)


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"key": "sk-proj-abcdefghijklmnopqrstuvwx"}, "key is no name of a variable"),
        ({"url": "https://u:p@host/v1"}, "must be the bare address"),
        ({"model": "sk-proj-abcdefghijklmnopqrstuvwx"}, "looks like a key"),
        ({"max_cost": 1.0, "prompt_price": 1.0}, "needs model.endpoint.prompt_price"),
        ({"api": "responses"}, "must be one of"),
        ({"samples": 0}, "at least 1"),
        ({"timeout": 0.0}, "longer than nothing"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given_settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        EndpointSettings(**{"url": "https://host/v1", "model": "a-model"} | given_settings)
    assert "abcdefghijklmnop" not in str(caught.value)
    assert "u:p" not in str(caught.value)
