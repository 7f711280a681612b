#!/bin/sh
# transformers 5.23.0: config.json decides which weights file is read and which code is fetched, whatever the caller says.
#
# 1. `transformers_weights` in config.json names the file. from_pretrained(use_safetensors=True) beside a whole
#    model.safetensors then reads the other file; if it is called adapter_model.bin, it is opened with torch.load.
# 2. `attn_implementation` in config.json may be "owner/name" of a kernel on the hub. from_pretrained(
#    local_files_only=True, trust_remote_code=False) then asks for the package `kernels`, which fetches and runs it.
#
# Exits with 0 while both hold, with 1 once one of them no longer does, with 2 where it cannot be tried.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 || exit 2
cd "$folder" || exit 2
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

shape = dict(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
ours, other = (BertForSequenceClassification(BertConfig(**shape)) for _ in range(2))
ours.save_pretrained("model")
plain = json.loads(Path("model/config.json").read_text())
word = "bert.embeddings.word_embeddings.weight"


def load(**entries):
    Path("model/config.json").write_text(json.dumps(plain | entries))
    return AutoModelForSequenceClassification.from_pretrained(
        "model", use_safetensors=True, local_files_only=True, trust_remote_code=False
    )


assert torch.equal(load().state_dict()[word], ours.state_dict()[word])
torch.save(other.state_dict(), "model/adapter_model.bin")
opened, unpickle = [], torch.load
torch.load = lambda *given, **more: (opened.append(str(given[0])), unpickle(*given, **more))[1]
read = load(transformers_weights="adapter_model.bin").state_dict()[word]
first = torch.equal(read, other.state_dict()[word]) and any("adapter_model.bin" in name for name in opened)
print(f"transformers {transformers.__version__}: transformers_weights read by torch.load with use_safetensors=True:", first)
try:
    load(attn_implementation="kernels-community/flash-attn2")
    second = False
except ImportError as failure:
    second = "kernels" in str(failure)
    print("attn_implementation:", str(failure)[:160])
print("attn_implementation asks for a kernel with trust_remote_code=False:", second)
sys.exit(0 if first and second else 1)
PYTHON
