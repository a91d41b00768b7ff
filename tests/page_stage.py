"""page_stage.py - a server that plays krait serve for the page: it says what a test wants said, fails when a test wants it to,
and remembers what it was asked.  Used by tests/check_page.py and scripts/page-shots; by itself it serves the page for work on it:

    python3 tests/page_stage.py [PORT]
"""
import json
import math
import re
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = ("default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; "
          "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")


class Stage(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, port=0, page=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.page = page            # where a real server has the page; None: the files of this tree
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reset(self):
        self.name = "krait-tiny"
        self.text = "A short answer."
        self.delay = 0.0            # seconds between tokens
        self.first = 0.0            # and before the first
        self.most = 2048            # tokens that a request may ask for
        self.key = None             # the API key wanted
        self.template = True        # can it chat?
        self.keeps = True           # named states?
        self.failures = []          # (status, headers, error) for the next requests to write
        self.cut_after = None       # break off a stream after so many tokens
        self.cut_clean = False      # ... with a proper end of the answer, but without the stream's last line; or an event that ends it,
                                    # perhaps with a state, which is kept; or a function that makes one of the request
        self.asked = []             # (method, path, body)
        self.aborted = 0
        self.states = {}
        self.listed = []            # what GET /v1/states lists

    def url(self):
        return "http://127.0.0.1:%d/" % self.server_address[1]

    def answer(self, body):
        return self.text(body) if callable(self.text) else self.text

    def read(self, body):
        """The text of a request, without what its state holds."""
        return body["prompt"] if "prompt" in body else "".join(m["content"] for m in body["messages"])

    def handle_error(self, request, client_address):
        pass                        # a browser that went away


def tokens_of(text):
    return re.findall(r" ?[^\W\d_]+| ?\d+|\s+|[^\w\s]|_", text)


OTHERS = [" the", " a", " and", " of", " its", " small", " never"]


def odds(token, i):
    """A log probability of a token and four others, the same each time."""
    p = (0.97, 0.91, 0.42, 0.85, 0.99, 0.08, 0.66, 0.95)[(i * 5 + len(token)) % 8]
    others = [o for o in OTHERS[i % 3:] if o != token][:4]
    rest = (1 - p) * 0.9
    shares = [(token, p)] + [(o, rest * f) for o, f in zip(others, (0.5, 0.25, 0.15, 0.1))]
    return math.log(p), sorted(((t, math.log(q)) for t, q in shares), key=lambda s: -s[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.route("GET")

    def do_POST(self):
        self.route("POST")

    def do_DELETE(self):
        self.route("DELETE")

    def route(self, method):
        n = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(n)) if n else None
        path, s = self.path.split("?")[0], self.server
        if path == "/" or path.startswith("/page/"):
            return self.page(path)
        with s.lock:
            s.asked.append((method, path, body))
        if path == "/health":
            return self.json(200, {"status": "ok"})
        if s.key and self.headers.get("Authorization") != "Bearer " + s.key:
            return self.error(401, {"message": "Incorrect API key provided.", "type": "authentication_error", "code": "invalid_api_key"})
        if path == "/v1/models":
            return self.json(200, {"object": "list", "data": [{"id": s.name, "object": "model"}]})
        if path == "/props":
            return self.json(200, self.props())
        if path.startswith("/v1/states"):
            return self.state(method, path, body)
        if method == "POST" and path in ("/v1/completions", "/v1/chat/completions"):
            return self.write_text(body, "chat" in path)
        self.error(404, {"message": "There is no " + path, "type": "not_found_error"})

    def props(self):
        s = self.server
        return {"state_bytes": 19_400_000, "chat_template": "chatml" if s.template else None, "named_states": s.keeps, "max_tokens": s.most}

    def page(self, path):
        if self.server.page:
            return self.real_page(path)
        name = path.removeprefix("/page/") if path != "/" else "page.html"
        file = ROOT / "src/serve/page" / name
        if "/" in name or not file.is_file():
            return self.error(404, {"message": "no such file"})
        self.send(200, file.read_bytes(), {"Content-Type": TYPES[name.rsplit(".", 1)[1]], "Content-Security-Policy": POLICY})

    def real_page(self, path):
        with urllib.request.urlopen(self.server.page.rstrip("/") + path) as r:
            keep = {k: v for k, v in r.getheaders() if k.lower() in ("content-type", "content-encoding", "content-security-policy")}
            self.send(r.status, r.read(), keep)

    def send(self, status, data, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def json(self, status, value, headers={}):
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def error(self, status, error, headers={}):
        self.json(status, {"error": {"param": None, "code": None, **error}}, headers)

    def state(self, method, path, body):
        s, name = self.server, path.removeprefix("/v1/states").strip("/").split("/")[0]
        if not s.keeps:
            return self.error(404, {"message": "This server keeps no states."})
        if method == "POST" and path.endswith("/fork"):
            if name not in s.states:
                return self.error(404, {"message": "There is no state " + name, "code": "state_not_found"})
            s.states[body["name"]] = s.states[name]
        elif method == "DELETE":
            s.states.pop(name, None)
        elif not name:
            prefix = self.path.partition("prefix=")[2]
            return self.json(200, {"object": "list", "data": [one for one in s.listed if one["name"].startswith(prefix)]})
        self.json(200, {"name": name})

    def write_text(self, body, chat):
        s = self.server
        with s.lock:
            failure = s.failures.pop(0) if s.failures else None
        if failure:
            return self.error(failure[0], failure[2], failure[1])
        if body.get("state") and body["state"] not in s.states:
            return self.error(404, {"message": "There is no state %s." % body["state"], "param": "state", "code": "state_not_found"})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.stream(body, chat)
        except OSError:
            with s.lock:
                s.aborted += 1
            self.close_connection = True

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, value):
        self.chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    def stream(self, body, chat):
        s, tokens = self.server, tokens_of(self.server.answer(body))
        limit = body.get("max_tokens", 1 << 30)
        had = s.states.get(body.get("state"), "") + s.read(body)
        if body.get("continue_final_message"):
            done = len(tokens_of(body["messages"][-1]["content"]))
            if not done:            # all of it is in the state
                done = max(n for n in range(len(tokens) + 1) if had.endswith("".join(tokens[:n])))
            tokens = tokens[done:]
        time.sleep(s.first)
        for i, token in enumerate(tokens[:limit]):
            if s.cut_after is not None and i == s.cut_after:
                self.wfile.flush()
                said = s.cut_clean(body) if callable(s.cut_clean) else s.cut_clean
                if isinstance(said, dict):
                    if said.get("state"):
                        s.states[said["state"]["name"]] = had + "".join(tokens[:i])
                    self.event(said)
                    return self.chunk(b"")
                self.close_connection = True
                if s.cut_clean:
                    return self.chunk(b"")
                return self.connection.shutdown(2)
            p, others = odds(token, i)
            self.event(self.piece(body, chat, token, p, others))
            if s.delay:
                time.sleep(s.delay)
        finish = "length" if len(tokens) > limit else "stop"
        self.event({"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": finish}]})
        self.event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": min(limit, len(tokens)), "total_tokens": 20,
                                             "prompt_tokens_details": {"cached_tokens": 12}}})
        if body.get("save_state"):
            s.states[body["save_state"]] = had + "".join(tokens[:limit])
            self.event({"choices": [], "state": {"name": body["save_state"], "n_tokens": 40}})
        self.event(b"[DONE]")
        self.chunk(b"")

    def piece(self, body, chat, token, p, others):
        choice = {"index": 0, "finish_reason": None}
        if chat:
            choice["delta"] = {"content": token}
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": token, "logprob": p, "bytes": list(token.encode()), "top_logprobs":
                                                   [{"token": t, "logprob": q} for t, q in others]}]}
        else:
            choice["text"] = token
            if body.get("logprobs"):
                choice["logprobs"] = {"tokens": [token], "token_logprobs": [p], "top_logprobs": [dict(others)], "text_offset": [0]}
        return {"id": "x", "object": "chunk", "model": self.server.name, "choices": [choice]}


if __name__ == "__main__":
    stage = Stage(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    stage.delay = 0.03
    print(stage.url(), flush=True)
    threading.Event().wait()
