#!/bin/sh
# openai 3.57.0: a client that is pointed at another server brings along what the environment holds for OpenAI's.
#
# With `base_url` and `api_key` given, as for vLLM or llama.cpp, the client still sends OPENAI_ORG_ID, OPENAI_PROJECT_ID
# and every line of OPENAI_CUSTOM_HEADERS to that server. It follows a redirect of a POST and sends the body (the whole
# prompt) and these headers to wherever it is told; only Authorization stays behind, and with max_retries=0 one call was
# two HTTP requests. And `timeout=1.0` bounds each read, not the call: a server that drips a byte now and then holds a
# call open for as long as it likes.
# Seen on 2026-11-30, Python 3.11; a server on 127.0.0.1 alone is asked.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ |= {"OPENAI_ORG_ID": "org-of-mine", "OPENAI_PROJECT_ID": "proj-of-mine", "OPENAI_CUSTOM_HEADERS": "X-Gateway-Token: of-mine"}
import openai

BODY = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]}).encode()
seen = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((self.server.kind, {k.lower(): v for k, v in self.headers.items()}, sent))
        if self.server.kind == "elsewhere":
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{there.server_port}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        for byte in BODY:
            self.wfile.write(bytes([byte]))
            if self.server.kind == "drips":
                self.wfile.flush()
                time.sleep(0.02)

    def log_message(self, *_):
        pass


def served(kind):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.kind = kind
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def asked(server):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=0, timeout=1.0)
    start = time.monotonic()
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "the prompt"}])
    return time.monotonic() - start


there = served("answers")
asked(there)
brought = {name: seen[-1][1].get(name) for name in ("openai-organization", "openai-project", "x-gateway-token")}
print(f"openai {openai.__version__}: sent to a server of one's own: {brought}")
seen.clear()
asked(served("elsewhere"))
kinds = [kind for kind, _, _ in seen]
moved = seen[-1]
print("one call with max_retries=0:", kinds, "body moved:", b"the prompt" in moved[2], "token moved:", "x-gateway-token" in moved[1], "Authorization moved:", "authorization" in moved[1])
took = asked(served("drips"))
print(f"timeout=1.0: a call took {took:.1f} s and was answered")
as_found = brought == {"openai-organization": "org-of-mine", "openai-project": "proj-of-mine", "x-gateway-token": "of-mine"}
as_found &= kinds == ["elsewhere", "answers"] and b"the prompt" in moved[2] and "x-gateway-token" in moved[1]
as_found &= "authorization" not in moved[1] and took > 2.5
sys.exit(not as_found)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openai==3.57.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
