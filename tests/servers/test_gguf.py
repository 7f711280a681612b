"""A built-in decoder that was written as GGUF is, to llama.cpp, the model that transformers reads."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest
from samples.model_samples import sentences
from samples.small_lm import small_lm

from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import load_tokenizer
from servers.gguf import write_gguf

xllamacpp = pytest.importorskip("xllamacpp")
PROMPTS = ("", "Altera plunged", "Borcor rallied as Łódź's 3.5% 東京\n\n don't  pay", " as Centek spoke of its sales")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return small_lm(sentences(300, seed=1)["text"].tolist(), tmp_path_factory.mktemp("lm"))


@pytest.fixture(scope="module")
def server(base, tmp_path_factory):
    params = xllamacpp.CommonParams()
    params.model.path = str(write_gguf(base, tmp_path_factory.mktemp("gguf") / "tiny-lm.gguf"))
    params.n_ctx, params.n_parallel, params.warmup = 128, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(params)


def asked(server, path, document):
    request = urllib.request.Request(
        f"{server.listening_address}/{path}", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_llama_cpp_expects_what_transformers_expects(base, server, prompt):
    import torch

    tokenizer, model = load_tokenizer(base), load_language_model(base)
    ids = tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
    expected = torch.softmax(logits, -1).numpy()
    assert asked(server, "tokenize", {"content": prompt, "add_special": True})["tokens"] == ids
    answer = asked(server, "completion", {"prompt": prompt, "n_predict": 1, "n_probs": len(tokenizer)})
    told = {entry["id"]: entry["logprob"] for entry in answer["completion_probabilities"][0]["top_logprobs"]}
    found = np.array([np.exp(told[token]) for token in range(len(tokenizer))])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.max() > 2 * np.sort(found)[-10]
