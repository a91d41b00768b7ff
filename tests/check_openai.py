"""check_openai.py - the server as OpenAI's own Python client sees it.

    pip install openai; python3 tests/check_openai.py build

KRAIT_PYTHON names another Python for ctest.  Skipped (77) where the package is not there.
"""
import asyncio
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

try:
    import openai
except ImportError as e:
    print(f"check_openai: skipped, this Python has no package {e.name} (pip install openai, or KRAIT_PYTHON=...)")
    sys.exit(77)

here = os.path.abspath(sys.argv[1])
krait = os.path.join(here, "krait")
folder = tempfile.mkdtemp(prefix="krait-openai-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
os.environ.setdefault("KRAIT_THREADS", "1")
wrong = 0


def check(what, name):
    global wrong
    if not what:
        wrong += 1
        print(f"check_openai: not so: {name}")


def make_model():
    words = "the krait is a small snake with bands that sleeps by day and hunts at night near water".split()
    dice = random.Random(7)
    with open(f"{folder}/text.txt", "w") as f:
        f.write(" ".join(dice.choice(words) for _ in range(40000)))
    subprocess.run([krait, "train", f"--data.paths={folder}/text.txt", f"--out={folder}/model", "--mixer.type=mamba2", "--d_model=32", "--n_layer=2",
                    "--steps=25", "--batch_size=2", "--lr=5e-3"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Server:
    def __init__(self, *options):
        self.process = subprocess.Popen([krait, "serve", f"{folder}/model", "--port", "0", "--log", *options], stdout=subprocess.PIPE,
                                        stderr=open(f"{folder}/log", "a"), text=True)
        line = self.process.stdout.readline()
        if " listens at " not in line:
            raise SystemExit(f"check_openai: the server did not start: {line}{open(f'{folder}/log').read()}")
        self.url = line.split(" listens at ")[1].strip()

    def client(self, key="none", kind=openai.OpenAI, **more):
        return kind(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60, **more)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(60) == 0, "SIGTERM ends the server with 0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def metric(server, name):
    text = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"krait_{name} "))


def generated(prompt, n):
    """What `krait generate` writes, greedily."""
    out = subprocess.run([krait, "generate", f"{folder}/model", "--prompt", prompt, "-n", str(n), "-t", "0", "--no-echo", "--prefill", "64"], check=True,
                         stdout=subprocess.PIPE).stdout
    return out[:-1].decode(errors="replace")


def raised(kind, call, **fields):
    try:
        call()
    except kind as e:
        for name, value in fields.items():
            check(getattr(e, name) == value, f"{name} of {kind.__name__} is {getattr(e, name)!r}, want {value!r}")
        return e
    except Exception as e:
        check(False, f"want {kind.__name__}, got {type(e).__name__}: {e}")
    else:
        check(False, f"want {kind.__name__}, got an answer")


def completions(c):
    want = generated("the krait is", 50)
    a = c.completions.create(model="model", prompt="the krait is", max_tokens=50, temperature=0, logprobs=2)
    check(a.choices[0].text == want, f"a completion is what krait generate writes: {a.choices[0].text!r}, {want!r}")
    check(a.object == "text_completion" and a.id.startswith("cmpl-") and a.model == "model", "object, id and model of a completion")
    check((a.usage.prompt_tokens, a.usage.completion_tokens, a.usage.total_tokens) == (12, 50, 62), f"usage: {a.usage}")
    check(a.choices[0].finish_reason == "length", "finish_reason length")
    lp = a.choices[0].logprobs
    check(len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset) == 50, "one logprob a token")
    check(all(max(t.values()) == p for t, p in zip(lp.top_logprobs, lp.token_logprobs)), "a greedy token is the likeliest")

    s = list(c.completions.create(model="model", prompt="the krait is", max_tokens=50, temperature=0, stream=True, stream_options={"include_usage": True}))
    check("".join(x.choices[0].text for x in s if x.choices) == want, "a stream is the whole")
    check(s[-1].usage.total_tokens == 62 and s[-1].usage.prompt_tokens_details.cached_tokens == 12, f"usage at the end of a stream: {s[-1].usage}")
    check([x.choices[0].finish_reason for x in s if x.choices and x.choices[0].finish_reason] == ["length"], "one finish_reason a stream")

    a, b = (c.completions.create(model="model", prompt="the ", max_tokens=30, seed=3, n=3) for _ in range(2))
    check([x.text for x in a.choices] == [x.text for x in b.choices], "a seed gives the same texts")
    check(len({x.text for x in a.choices}) == 3 and [x.index for x in a.choices] == [0, 1, 2], "n texts of their own")
    s = list(c.completions.create(model="model", prompt="the ", max_tokens=30, seed=3, n=3, stream=True))
    check(["".join(x.choices[0].text for x in s if x.choices and x.choices[0].index == i) for i in range(3)] == [x.text for x in a.choices], "n streams in one")
    a = c.completions.create(model="model", prompt=["the krait is", [116, 104, 101]], max_tokens=5, temperature=0)
    check(len(a.choices) == 2 and a.choices[0].text == want[:5], "several prompts, texts and tokens")
    a = c.completions.create(model="model", prompt="x", max_tokens=20, logit_bias={"122": 100}, temperature=0)
    check(a.choices[0].text == "z" * 20, "logit_bias")
    a = c.completions.create(model="model", prompt="x", max_tokens=20, logit_bias={"122": 100}, temperature=0, stop=["zzz", "q"])
    check(a.choices[0].text == "" and a.choices[0].finish_reason == "stop", "stop")
    a = c.completions.create(model="model", prompt="x", max_tokens=20, extra_body={"top_k": 1, "min_p": 0.1, "grammar": 'root ::= "a" [bc] "d"'})
    check(a.choices[0].text in ("abd", "acd") and a.choices[0].finish_reason == "stop", "fields beyond OpenAI's")


def chats(c):
    say = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the krait is"}]
    prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nthe krait is<|im_end|>\n<|im_start|>assistant\n"
    want = generated(prompt, 40)
    a = c.chat.completions.create(model="model", messages=say, max_tokens=40, temperature=0, logprobs=True, top_logprobs=3)
    check(a.choices[0].message.content == want and a.choices[0].message.role == "assistant", f"a chat is its template, continued: {a.choices[0].message.content!r}, {want!r}")
    check(a.object == "chat.completion" and a.id.startswith("chatcmpl-"), "object and id of a chat")
    lp = a.choices[0].logprobs.content
    check(len(lp) == 40 and all(len(x.top_logprobs) == 3 and x.top_logprobs[0].logprob == x.logprob for x in lp), "logprobs of a chat")
    check(bytes(b for x in lp for b in x.bytes).decode(errors="replace") == want, "the bytes of tokens are the text")
    s = list(c.chat.completions.create(model="model", messages=say, max_completion_tokens=40, temperature=0, stream=True, stream_options={"include_usage": True}))
    check("".join(x.choices[0].delta.content or "" for x in s if x.choices) == want, "a streamed chat is the whole")
    check(s[0].choices[0].delta.role == "assistant" and s[-1].usage.completion_tokens == 40, "role first, usage last")
    shape = {"type": "object", "properties": {"name": {"enum": ["krait", "cobra"]}, "bands": {"type": "integer", "minimum": 1, "maximum": 9}},
             "required": ["name", "bands"], "additionalProperties": False}
    for i in range(5):
        a = c.chat.completions.create(model="model", messages=say, max_tokens=200, seed=i, response_format={"type": "json_schema", "json_schema": {"name": "snake", "schema": shape}})
        if a.choices[0].finish_reason == "stop":
            j = json.loads(a.choices[0].message.content)
            check(j["name"] in ("krait", "cobra") and 1 <= j["bands"] <= 9, f"a schema holds: {j}")
    a = c.chat.completions.create(model="model", messages=[{"role": "user", "content": [{"type": "text", "text": "the "}, {"type": "text", "text": "krait"}]}], max_tokens=3, n=2)
    check(len(a.choices) == 2, "parts of content, and n")


def others(c, server):
    check([m.id for m in c.models.list()] == ["model"] and c.models.retrieve("model").owned_by == "krait", "models")
    a, b = (c.embeddings.create(model="model", input=["the krait", "a cobra"], **more) for more in ({}, {"encoding_format": "float"}))
    check(len(a.data) == 2 and len(a.data[0].embedding) == 32 and a.usage.prompt_tokens == 16, "embeddings")
    check(all(abs(x - y) < 1e-6 for i in range(2) for x, y in zip(a.data[i].embedding, b.data[i].embedding)), "embeddings in base64 and as numbers")
    check(abs(sum(x * x for x in a.data[0].embedding) - 1) < 1e-5, "embeddings have length 1")

    raised(openai.NotFoundError, lambda: c.completions.create(model="gpt", prompt="a"), code="model_not_found", param="model", type="not_found_error")
    raised(openai.BadRequestError, lambda: c.completions.create(model="model", prompt="a", temperature=-1), param="temperature", type="invalid_request_error")
    raised(openai.BadRequestError, lambda: c.completions.create(model="model", prompt="a", echo=True), code="unsupported_parameter")
    raised(openai.BadRequestError, lambda: c.chat.completions.create(model="model", messages=[]), param="messages")
    e = raised(openai.BadRequestError, lambda: c.completions.create(model="model", prompt="a", extra_body={"temprature": 1}), code="unknown_parameter")
    check(e is not None and "did you mean temperature" in e.message and e.request_id, "a misspelt field is named, and the request has an id")

    s = c.completions.create(model="model", prompt="a", max_tokens=4096, stream=True)
    next(iter(s))
    s.close()
    for _ in range(200):
        if metric(server, "http_streams") == metric(server, "requests_writing") == 0:
            break
    check(metric(server, "http_streams") == metric(server, "requests_writing") == 0, "a closed stream is cancelled")


async def many(server):
    async with server.client(kind=openai.AsyncOpenAI) as c:
        async def one(i):
            s = await c.completions.create(model="model", prompt=f"the krait {i % 4}", max_tokens=40, seed=i, stream=True)
            return "".join([x.choices[0].text async for x in s if x.choices])
        together = await asyncio.gather(*[one(i) for i in range(24)])
        alone = [await one(i) for i in range(24)]
        check(together == alone, "24 streams at once are what each is alone")


def keys_and_limits():
    with open(f"{folder}/keys", "w") as f:
        f.write("# a comment\nfrom-file\n")
    with Server("--api-key", "sesame", "--api-key-file", f"{folder}/keys", "--max-tokens", "50") as s:
        raised(openai.AuthenticationError, lambda: s.client("wrong").models.list(), code="invalid_api_key")
        check(s.client("sesame").models.list().data and s.client("from-file").models.list().data, "both keys open")
        raised(openai.BadRequestError, lambda: s.client("sesame").completions.create(model="model", prompt="a", max_tokens=51), param="max_tokens")
        raised(openai.BadRequestError, lambda: s.client("sesame").chat.completions.create(model="model", messages=[{"role": "user", "content": "a"}]), code="no_chat_template")
    log = [json.loads(line) for line in open(f"{folder}/log") if line.startswith("{")]
    check(any(x["status"] == 401 and x["path"] == "/v1/models" for x in log) and all(x["id"] and x["time"] for x in log), "the log has a line for each request")
    check("sesame" not in open(f"{folder}/log").read(), "no key is in the log")


def tls():
    if not shutil.which("openssl"):
        print("check_openai: no openssl here to make a certificate, so TLS was not tried")
        return
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, stderr=subprocess.DEVNULL)
    with Server("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem") as s:
        trust = ssl.create_default_context(cafile=f"{folder}/cert.pem")
        check(s.url.startswith("https://"), "an https address")
        with s.client(http_client=openai.DefaultHttpxClient(verify=trust)) as c:
            a = list(c.completions.create(model="model", prompt="the krait is", max_tokens=50, temperature=0, stream=True))
            check("".join(x.choices[0].text for x in a if x.choices) == generated("the krait is", 50), "a stream over TLS")
        try:
            urllib.request.urlopen(s.url.replace("https", "http") + "/health", timeout=5)
            check(False, "plain HTTP at a TLS port is refused")
        except (urllib.error.URLError, OSError, ValueError):
            pass


def draining():
    with Server() as s:
        c = s.client()
        stream = iter(c.completions.create(model="model", prompt="a", max_tokens=4000, seed=1, stream=True))
        text = next(stream).choices[0].text
        s.process.send_signal(signal.SIGTERM)
        text += "".join(x.choices[0].text for x in stream if x.choices)
        check(s.process.wait(60) == 0 and len(text) > 1000, "what runs at SIGTERM is finished, and the server ends with 0")


try:
    make_model()
    with Server("--chat-template", "chatml") as server:
        client = server.client()
        completions(client)
        chats(client)
        others(client, server)
        asyncio.run(many(server))
    keys_and_limits()
    tls()
    draining()
finally:
    shutil.rmtree(folder, ignore_errors=True)
print("check_openai: all as the client wants it" if not wrong else f"check_openai: {wrong} wrong")
sys.exit(1 if wrong else 0)
