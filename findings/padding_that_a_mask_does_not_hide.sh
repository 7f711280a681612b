#!/bin/sh
# transformers 5.23.0: classifiers of XLNet and ConvBERT read the padding behind a text, whatever the mask says.
#
# The same headline, padded to the longest of its batch and masked as its tokenizer masks it, gets other logits with
# every length of padding: XLNet sums a text up by its last place, which on the right is padding, and ConvBERT's
# convolutions reach over the end of the text. BERT does not move. XLNet does not either when padded on the left, as
# its own tokenizer does; a pipeline that pads all models alike scores it by its batch mates.
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
from transformers import AutoModelForSequenceClassification

transformers.logging.set_verbosity_error()
deep = {
    "vocab_size": 50, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "initializer_range": 0.15, "num_labels": 3,
}
CONFIGS = {
    "BERT": transformers.BertConfig(**deep),
    "ConvBERT": transformers.ConvBertConfig(**deep, embedding_size=64),
    "XLNet": transformers.XLNetConfig(
        vocab_size=50, d_model=64, n_layer=2, n_head=2, d_inner=64, initializer_range=0.15, num_labels=3
    ),
}
text = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
ones, moved = torch.ones_like(text), {}
for name, config in CONFIGS.items():
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        alone = model(text, attention_mask=ones).logits
        for side in ("right", "left") if name == "XLNet" else ("right",):
            blank = torch.zeros(1, 9, dtype=torch.long)
            order = (lambda first, then: (first, then)) if side == "right" else (lambda first, then: (then, first))
            padded = model(torch.cat(order(text, blank), 1), attention_mask=torch.cat(order(ones, blank), 1)).logits
            moved[name, side] = float((padded - alone).abs().max())
            told = f"9 places on the {side}: a logit moves by {moved[name, side]:.6f}"
            print(f"transformers {transformers.__version__}, {name}, {told}")
reads = {key for key, apart in moved.items() if apart > 1e-3}
sys.exit(reads != {("ConvBERT", "right"), ("XLNet", "right")} or max(moved[key] for key in moved.keys() - reads) > 1e-5)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0
"$folder/venv/bin/pip" install -q transformers==5.23.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
