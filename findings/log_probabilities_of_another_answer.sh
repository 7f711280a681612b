#!/bin/sh
# llama.cpp (xllamacpp 2026.10.11549): beside an answer held to a schema stand log-probabilities of what was not held.
#
# Ask llama.cpp's server for one of three words by `response_format` and for log-probabilities, and each listed token
# has the probability that the model, left alone, would give it: of the choice itself they say nothing. Here the tokens
# of an answer that was forced have together next to no probability, and the schema lets markdown fences through, which
# are cut from the content but stand in the list, so that list and content do not spell the same. Completions have their
# log-probabilities in the shape of chat, so that the official client finds `top_logprobs` to be None; and a completion
# whose one token is the beginning of a character comes without any, though they were asked for.
# Seen on 2026-11-30, Python 3.11, CPU; the model is random and made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import math, sys
from pathlib import Path

import gguf, numpy as np, openai, xllamacpp

path = Path(sys.argv[1]) / "random.gguf"
WIDTH, HEADS, LAYERS = 64, 2, 1
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters = [chr(byte) if byte in printable else chr(256 + sorted(set(range(256)) - set(printable)).index(byte)) for byte in range(256)]
tokens = ["</s>", *letters, "zz"]
rng = np.random.default_rng(0)
writer = gguf.GGUFWriter(path, "llama")
for add, value in ((writer.add_context_length, 512), (writer.add_embedding_length, WIDTH), (writer.add_block_count, LAYERS), (writer.add_feed_forward_length, WIDTH), (writer.add_head_count, HEADS), (writer.add_head_count_kv, HEADS), (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_rope_dimension_count, WIDTH // HEADS), (writer.add_vocab_size, len(tokens)), (writer.add_tokenizer_model, "gpt2"), (writer.add_tokenizer_pre, "gpt-2"), (writer.add_token_list, tokens), (writer.add_token_types, [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * 257), (writer.add_token_merges, ["z z"]), (writer.add_eos_token_id, 0), (writer.add_bos_token_id, 0), (writer.add_add_bos_token, False), (writer.add_chat_template, "{% for m in messages %}{{ m['content'] }}{% endfor %}")):
    add(value)
shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), **{f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}}
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", rng.normal(0.0, 0.15, shape).astype(np.float32))
for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.warmup, params.use_jinja = str(path), 512, 1, False, True
server = xllamacpp.Server(params)
client = openai.OpenAI(base_url=f"{server.listening_address}/v1", api_key="none", max_retries=0, timeout=30)
words = {"type": "string", "enum": ["bearish", "neutral", "bullish"]}
schema = {"type": "json_schema", "json_schema": {"name": "tone", "strict": True, "schema": words}}
seen = []
for seed in range(8):
    held = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Tone?"}], max_tokens=24, temperature=1, seed=seed, response_format=schema, logprobs=True, top_logprobs=5).choices[0]
    listed = held.logprobs.content
    seen.append((held.message.content, "".join(bytes(each.bytes or []).decode("utf-8", "replace") for each in listed), sum(each.logprob for each in listed)))
for content, spelt, logprob in seen[:4]:
    print(f"content {content!r}, listed tokens spell {spelt!r}, log-probability {logprob:.1f}")
forced = all(logprob < 3 * math.log(1 / 3) - 5 for _, _, logprob in seen)
differ = any(content != spelt for content, spelt, _ in seen)
plain = client.completions.create(model="m", prompt="Tone?", max_tokens=4, temperature=0, logprobs=5).choices[0].logprobs
print("completions: top_logprobs", plain.top_logprobs, "content", len(plain.content), "positions")
kinds = {}
for number in range(40):
    choice = client.completions.create(model="m", prompt=f"{number}", max_tokens=1, temperature=0, logprobs=5).choices[0]
    kinds.setdefault(choice.logprobs is None, []).append(choice.text)
print("one token, log-probabilities missing for the texts", sorted(set(kinds.get(True, []))), "given for", sorted(set(kinds.get(False, [])))[:8])
missing = bool(kinds.get(True)) and set(kinds[True]) == {"\ufffd"}
sys.exit(not (forced and differ and plain.top_logprobs is None and plain.content and missing))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q xllamacpp==2026.10.11549 gguf==0.19.0 openai==3.57.0
"$folder/venv/bin/python" "$folder/ask.py" "$folder" 2> "$folder/log" || { tail -5 "$folder/log"; exit 1; }
echo "as found"
