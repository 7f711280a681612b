#!/bin/sh
# peft 0.21.2, transformers 5.23.0: an adapter of DeBERTa-v2 or XLNet leaves part of the classifier behind.
#
# A base without a head is loaded for classification, so that its head is drawn at random, and gets a LoRA adapter for
# sequence classification, which is saved and loaded onto the same base again, in what might be the next process. peft
# keeps what is called "classifier" or "score" beside the adapter. BERT comes back as it was. DeBERTa-v2 has lost
# `pooler.dense`, XLNet `logits_proj` and its summary: they are drawn anew, without a word from peft, and the same text
# gets other logits. To name them in `modules_to_save` mends it.
# Seen on 2026-11-30, Python 3.11, CPU; the models are random and made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import peft
import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification

transformers.logging.set_verbosity_error()
folder = Path(sys.argv[1])
text = torch.tensor([[5, 6, 7, 8, 9]])
deep = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
CONFIGS = {
    "BERT": (transformers.BertConfig(**deep), None),
    "DeBERTa-v2": (transformers.DebertaV2Config(**deep, pooler_hidden_size=64), None),
    "DeBERTa-v2, its pooler named": (
        transformers.DebertaV2Config(**deep, pooler_hidden_size=64),
        ["classifier", "pooler"],
    ),
    "XLNet": (transformers.XLNetConfig(vocab_size=50, d_model=64, n_layer=1, n_head=2, d_inner=64), None),
}


def loaded(base, seed):
    torch.manual_seed(seed)
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=3).eval()


found = {}
for number, (name, (config, kept)) in enumerate(CONFIGS.items()):
    base, adapter = folder / f"base{number}", folder / f"adapter{number}"
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(base)
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", modules_to_save=kept)
    tuned = peft.get_peft_model(loaded(base, 1), lora).eval()
    tuned.save_pretrained(adapter)
    again = peft.PeftModel.from_pretrained(loaded(base, 2), adapter).eval()
    with torch.no_grad():
        found[name] = float((tuned(text).logits - again(text).logits).abs().max())
    print(f"peft {peft.__version__}, {name}: loaded again, a logit is off by {found[name]:.6f}")
lost = [name for name, apart in found.items() if apart > 1e-3]
sys.exit(lost != ["DeBERTa-v2", "XLNet"] or found["BERT"] != 0.0)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0
"$folder/venv/bin/pip" install -q transformers==5.23.0 peft==0.21.2
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
