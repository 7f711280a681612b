#!/bin/sh
# transformers 5.23.0: `transformers serve` takes temperature, logprobs, response_format and n, and heeds none of them.
#
# Asked for log-probabilities, for an answer held to a schema or for two choices, it answers 200 without any of it, and
# at temperature 1 (or 5) with twelve seeds it says the same likeliest word twelve times, though the model here gives
# its first word hardly more than any other. Whoever measures how sure a model is by drawing several answers takes it
# for certain. Its legacy completions drop `logprobs` the same way, and it calls itself NAME@main.
# Seen on 2026-11-30, Python 3.11, CPU; the model is random and made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import json, os, socket, subprocess, sys, time, urllib.request
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
import torch, transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

folder = Path(sys.argv[1])
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(["</s>", *letters])}, []))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", pad_token="</s>")
tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
torch.manual_seed(0)
config = transformers.LlamaConfig(vocab_size=257, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, eos_token_id=0, pad_token_id=0, bos_token_id=0)
model = transformers.LlamaForCausalLM(config)
model.save_pretrained(folder / "model")
tokenizer.save_pretrained(folder / "model")
with torch.no_grad():
    likeliest = float(torch.softmax(model.eval()(**tokenizer("Tone?", return_tensors="pt")).logits[0, -1], -1).max())
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
name = str(folder / "model")
server = subprocess.Popen([sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def asked(**given):
    document = {"model": name, "messages": [{"role": "user", "content": "Tone?"}], "max_tokens": 4, "stream": False, **given}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


try:
    for _ in range(120):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.5)
    drawn = {asked(temperature=temperature, seed=seed)["choices"][0]["message"]["content"] for temperature in (1.0, 5.0) for seed in range(6)}
    listed = asked(logprobs=True, top_logprobs=5)["choices"][0].get("logprobs")
    held = asked(response_format={"type": "json_object"})["choices"][0]["message"]["content"]
    several = len(asked(n=2)["choices"])
    called = asked()["model"]
finally:
    server.terminate()
    server.wait(20)
print(f"transformers {transformers.__version__}: the likeliest first token has probability {likeliest:.3f}")
print(f"12 draws: {len(drawn)} answer(s); logprobs: {listed}; held to JSON: {held!r}; n=2: {several} choice; model {called[len(name):]!r}")
sys.exit(not (likeliest < 0.1 and len(drawn) == 1 and listed is None and not held.startswith("{") and several == 1 and called == f"{name}@main"))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 'transformers[serving]==5.23.0'
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
echo "as found"
