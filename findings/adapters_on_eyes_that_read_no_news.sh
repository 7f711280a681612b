#!/bin/sh
# peft 0.21.2, transformers 5.23.0: "all-linear" on a Gemma 3 that also sees puts adapters where no text passes.
#
# The 4B and larger Gemma 3 are multimodal. Loaded to classify texts and given LoRA on all linear layers, the vision
# tower gets adapters too: they are counted as trained weights, take memory and optimiser state, are saved, and never
# get a gradient from a text. What the log calls trainable parameters is not what was trained.
# Seen on 2026-11-30, Python 3.11, CPU; the model is random and made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import peft
import torch
import transformers
from transformers import AutoModelForSequenceClassification, Gemma3Config

transformers.logging.set_verbosity_error()
torch.manual_seed(0)
text = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16,
}
sight = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}
config = Gemma3Config(text_config=text, vision_config=sight, num_labels=3, mm_tokens_per_image=1)
config.image_token_index, config.pad_token_id = 60, 0
config.text_config.pad_token_id = 0
model = AutoModelForSequenceClassification.from_config(config)
tuned = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"))
tuned(torch.tensor([[5, 6, 7, 8]]), labels=torch.tensor([2])).loss.backward()
trained = {name: each for name, each in tuned.named_parameters() if each.requires_grad}
blind = [name for name, each in trained.items() if each.grad is None]
seeing = [name for name in trained if "vision" in name]
print(f"peft {peft.__version__}: {len(trained)} trainable tensors, {len(seeing)} of them in the vision tower")
print(f"peft {peft.__version__}: {len(blind)} never get a gradient")
sys.exit(not (seeing and set(seeing) <= set(blind)))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0
"$folder/venv/bin/pip" install -q transformers==5.23.0 peft==0.21.2
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
