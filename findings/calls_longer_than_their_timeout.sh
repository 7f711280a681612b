#!/bin/sh
# openai 3.57.0: a time-out of one second bounds each read and not the call, and one call can be two requests.
#
# With `timeout=1.0` a server that sends its answer byte by byte holds a call open for as long as it likes, since every
# byte begins the second anew. With `max_retries=0` a POST that is redirected (307) is sent again to where it is told,
# prompt and all: whoever counts calls to stay within a budget has counted one. A bound of the whole call and the count
# of requests have to be kept outside the client.
# Seen on 2026-11-30, Python 3.11; a server on 127.0.0.1 alone is asked.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

message = {"role": "assistant", "content": "hi"}
choice = {"index": 0, "finish_reason": "stop", "message": message}
BODY = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()
seen = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        seen.append(self.server.kind)
        elsewhere = self.server.kind == "elsewhere"
        self.send_response(307 if elsewhere else 200)
        if elsewhere:
            self.send_header("Location", f"http://127.0.0.1:{there.server_port}{self.path}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "0" if elsewhere else str(len(BODY)))
        self.end_headers()
        for byte in b"" if elsewhere else BODY:
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
    url = f"http://127.0.0.1:{server.server_port}/v1"
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=1.0)
    start = time.monotonic()
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Tone?"}])
    return time.monotonic() - start


there = served("answers")
took = asked(served("drips"))
print(f"openai {openai.__version__}, timeout=1.0: a call took {took:.1f} s and was answered")
seen.clear()
asked(served("elsewhere"))
print(f"openai {openai.__version__}, max_retries=0: one call made {len(seen)} requests, {seen}")
sys.exit(not (took > 2.5 and seen == ["elsewhere", "answers"]))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openai==3.57.0
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
