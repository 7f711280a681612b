"""Small decoders, made once for all tests of tuning to answer."""

from __future__ import annotations

import pytest
from samples.instruct_samples import reading_decoder, short_templates, small_decoder

from embargo.models.instruct import load_templates


@pytest.fixture(scope="session")
def decoder(tmp_path_factory):
    return small_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="session")
def reader(decoder, tmp_path_factory):
    return reading_decoder(decoder, tmp_path_factory.mktemp("reader") / "base")


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    return load_templates(short_templates(tmp_path_factory.mktemp("templates")))
