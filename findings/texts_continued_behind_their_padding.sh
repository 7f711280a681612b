#!/bin/sh
# transformers 5.23.0: a padded batch that is continued from its cache needs positions, or answers are those of others.
#
# To hold several answers against one prompt, a batch of prompts is read once and each answer is continued from the
# cache. Prompts of unlike length are padded on the right, the attention mask says so, and the model takes the mask for
# all of the past. Without `position_ids` it still counts the padding as words: a Llama and a GPT-2 give the shorter
# prompt's answer another probability, without a word. With positions both are right to the last digits; a Mistral then
# is not, since its sliding window counts the padding too, whatever the positions say.
# Seen on 2026-11-30, Python 3.11, CPU; the models are random and made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

wide = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "initializer_range": 0.5,
}
MODELS = {
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**wide)),
    "GPT-2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.5)
    ),
    "Mistral, window 8": lambda: MistralForCausalLM(MistralConfig(**wide, sliding_window=8)),
}
long, short, answer = list(range(2, 22)), [5, 6, 7, 8, 9], 11
rows = torch.tensor([long, short + [0] * (len(long) - len(short))])
mask = (torch.arange(len(long)) < torch.tensor([[len(long)], [len(short)]])).long()
found = {}
for name, make in MODELS.items():
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        alone = torch.softmax(model(torch.tensor([[*short, answer]])).logits[0, -1], -1)
        for told in (False, True):
            past = model(rows, attention_mask=mask, use_cache=True).past_key_values
            where = {"position_ids": mask.sum(1, keepdim=True)} if told else {}
            seen = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], 1)
            step = model(torch.tensor([[answer], [answer]]), attention_mask=seen, past_key_values=past, **where)
            apart = float((torch.softmax(step.logits[1, -1], -1) - alone).abs().max())
            found[name, told] = apart
            words = "with positions" if told else "without positions"
            print(f"transformers {transformers.__version__}, {name}, {words}: a probability is off by {apart:.6f}")
wrong = [("Llama", False), ("GPT-2", False), ("Mistral, window 8", False), ("Mistral, window 8", True)]
ok = all(found[key] > 1e-3 for key in wrong) and all(found[name, True] < 1e-5 for name in ("Llama", "GPT-2"))
sys.exit(not ok)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0
"$folder/venv/bin/pip" install -q transformers==5.23.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
