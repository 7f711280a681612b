"""The service that answers by rule, for readers behind an address."""

from __future__ import annotations

import pytest
from servers.openai_service import OpenAiService


@pytest.fixture
def service():
    return OpenAiService(model="a-model")


@pytest.fixture
def server(service):
    with service.serve() as loopback:
        yield loopback
