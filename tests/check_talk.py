#!/usr/bin/env python3
"""check_talk.py - krait chat as a person and as a script use it: through a pipe, a terminal, and over a server.

    check_talk.py BUILD

The terminal is a pty, the model one of 20 KB that was trained for a moment; what it says is nonsense, but always the same.
"""
import errno
import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

krait = os.path.abspath(os.path.join(sys.argv[1], "krait"))
tmp = tempfile.TemporaryDirectory()
model = os.path.join(tmp.name, "model")
env = dict(os.environ, KRAIT_HISTORY=os.path.join(tmp.name, "history"), TERM="xterm", OMP_WAIT_POLICY="passive", LC_ALL="C.UTF-8", NO_PROXY="*")
for name in ("KRAIT_MODEL", "KRAIT_API_KEY", "OPENAI_API_KEY"):
    env.pop(name, None)
bad = 0


def check(ok, what, seen=""):
    global bad
    if not ok:
        bad += 1
        print(f"check_talk: {what}: {seen!r}"[:1500])


def piped(lines, *args, where=model):
    p = subprocess.run([krait, "chat", where, "-n", "12", "-t", "0", "--chat-template", "chatml", *args], input="".join(line + "\n" for line in lines).encode(),
                       capture_output=True, env=env, timeout=120)
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


class Terminal:
    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(krait, [krait, "chat", *args], env)
        self.text = ""

    def until(self, pattern, seconds=60):
        """What came until the pattern; fails the check if it does not come."""
        end, start = time.time() + seconds, self.text
        while time.time() < end:
            m = re.search(pattern, self.text)
            if m:
                seen, self.text = self.text[:m.end()], self.text[m.end():]
                return seen
            ready, _, _ = select.select([self.fd], [], [], 0.2)
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError as e:
                    if e.errno != errno.EIO:
                        raise
                    data = b""
                if not data:
                    break
                self.text += data.decode(errors="replace")
        check(False, f"{pattern} did not come", start + self.text)
        return self.text

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        for _ in range(600):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        return "hangs"


def make_model():
    text = os.path.join(tmp.name, "text")
    with open(text, "w") as f:
        f.write("".join(f"<|im_start|>user\nline {i}<|im_end|>\n<|im_start|>assistant\nnumber {i * 7 % 97}<|im_end|>\n" for i in range(2000)))
    subprocess.run([krait, "train", f"--data.paths={text}", "--d_model=32", "--n_layer=1", "--steps=40", "--batch_size=4", "--length=64", f"--out={model}"],
                   check=True, capture_output=True, env=env, timeout=300)


def scripts():
    code, plain, err = piped(["one", "two", "three"])
    check(code == 0 and err == "", "a script", err)
    again = piped(["one", "two", "/undo", "two", "/retry", "three"])[1]
    second = piped(["one", "two"])[1][len(piped(["one"])[1]):]
    left = "Taken back; 2 messages are left.\n"
    check(again.count(left) == 1 and again.replace(left, "") == plain[:len(plain)].replace(second, second * 3, 1), "undo and retry give the same answer", (plain, again))
    forks = piped(["one", "/fork b", "two", "/fork main", "two", "/fork"])[1]
    check(forks.count(second) >= 2, "both forks go on alike", forks)
    check("* main: 4 messages" in forks and "  b: 4 messages" in forks, "the list of forks", forks)
    saved = os.path.join(tmp.name, "saved.json")
    out = piped(["one", "two", f"/save {saved}", "three"])[1]
    third = plain[len(piped(["one", "two"])[1]):]
    check(os.path.exists(saved) and len(json.load(open(saved))["messages"]) == 4, "a saved conversation", out)
    check(piped(["three"], "--load", saved)[1].endswith(third), "a loaded one goes on", third)
    if os.path.exists(saved + ".state"):
        os.remove(saved + ".state")
    check(piped(["three"], "--load", saved)[1].endswith(third), "a loaded one is read again without its state", third)
    out = piped(["/set temperature 3", "/set nothing 3", "/set top_k 5x", "/set", "/system Be brief.", "/system", "/load /none", "/bogus", "/undo", "/stats"])[1]
    for want in ("temperature 3\n", 'no setting "nothing"', "top_k is a number", "max_tokens 12", "Be brief.", "no saved conversation", "no command /bogus", "nothing to take back", "last answer"):
        check(want in out, f"{want} is said", out)
    check(piped(['"""', "a", "b", '"""'])[1] == piped(["a\\", "b"])[1], "lines that belong together")
    check(piped([])[0] == 0, "no input")
    check(piped(["one"], where=os.path.join(tmp.name, "none"))[0] == 3, "a model that is not there")
    help_text = subprocess.run([krait, "chat", "--help"], capture_output=True, env=env).stdout.decode()
    check(all(c in help_text for c in ("/undo", "/fork", "/save", "--system", "Ctrl-C")), "--help", help_text)
    check(subprocess.run([krait, "chat", "a", "b"], capture_output=True, env=env).returncode == 2, "two models")
    p = subprocess.run([krait, "chat", "-n", "3"], input=b"x\n", capture_output=True, env=dict(env, KRAIT_MODEL=model))
    check(p.returncode == 0, "KRAIT_MODEL", p.stderr)


def terminal(edits):
    t = Terminal(model, "-n", "100000000", "-t", "0", "--chat-template", "chatml")
    t.until("/help says")
    t.until("> ")
    t.type("hello\n")
    time.sleep(1)
    t.type("\x03")
    t.until(r"\[stopped\]")
    t.until("> ")
    t.type("/set max_tokens 8\n")
    t.until("max_tokens 8")
    t.until("> ")
    for _ in range(100):  # whatever the program is about when it comes
        t.type("half a line\x03")
        t.until("> ", 20)
        if bad:
            return
    t.type("/stats\n")
    t.until("messages here")
    t.until("> ")
    if edits:
        t.type("/sta\t\n")
        check("no command" not in t.until("messages here"), "Tab completes")
        t.until("> ")
        t.type("/set max_\t5\n")
        t.until("max_tokens 5")
        t.until("> ")
        t.type("\x1b[A\n")  # the line before
        t.until("max_tokens 5")
        t.until("> ")
    t.type("/undo\n")
    t.until("0 messages are left")
    t.until("> ")
    t.type("\x04")
    code = t.end()
    check(code == 0, "Ctrl-D ends", code)
    if edits:
        check("/set max_tokens 5" in open(env["KRAIT_HISTORY"]).read().replace("\\040", " "), "history is kept")
        check(os.stat(env["KRAIT_HISTORY"]).st_mode & 0o777 == 0o600, "history is its owner's")


def server():
    p = subprocess.Popen([krait, "serve", model, "--port", "0", "--chat-template", "chatml", "--api-key", "secret"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    seen = b""
    while not (m := re.search(rb"http://127\.0\.0\.1:\d+", seen)):
        line = p.stdout.readline()
        if not line:
            check(False, "the server starts", seen)
            return
        seen += line
    url = m.group(0).decode()
    code, out, err = piped(["one", "two", "/undo", "two", "/stats"], "--api-key", "secret", where=url)
    mine = piped(["one", "two"])[1]
    check(code == 0 and err == "" and "Taken back; 2" in out and "12 written" in out, "over a server", (code, out, err))
    check(out.replace("\ufffd", "").startswith(mine.replace("\ufffd", "")[:8]), "the server says what the model says", (mine, out))
    saved = os.path.join(tmp.name, "over.json")
    first = piped(["one"], "--api-key", "secret", where=url)[1]
    second = piped(["one", "two"], "--api-key", "secret", where=url)[1][len(first):]
    code, out, err = piped(["one", "/fork b", "two", "/fork main", "two", f"/save {saved}", "/retry", "/fork"], "--api-key", "secret", where=url)
    want = f"{first}A fork called b; main stays as it is.\n{second}On with main, 2 messages.\n{second}4 messages are in {saved}.\n{second}* main: 4 messages\n  b: 4 messages\n"
    check(code == 0 and out == want, "forks and another try over a server", (want, out, err))
    out = piped(["/undo", "two"], "--api-key", "secret", "--load", saved, where=url)[1]
    check("4 messages from" in out and out.endswith(second), "a conversation saved over a server goes on", (second, out))
    code, out, err = piped(["one"], where=url)
    check(code == 3 and "401" in err, "without a key", err)
    p.send_signal(signal.SIGTERM)
    p.wait(60)
    code, out, err = piped(["one"], "--api-key", "secret", where=url)
    check(code == 3 and url in err, "a server that is gone", err)


def hostile_server():
    """What a server says is text to a terminal; what is private goes to the one it is meant for."""
    bad_text = "a\x1b]0;owned\x07b\x9b2Jc\x7f\r\t\u00e9\n"
    asked, keys = [], []

    class Hostile(http.server.BaseHTTPRequestHandler):
        def say(self, status, body):
            keys.append(self.headers.get("Authorization"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.say(200, json.dumps({"data": [{"id": "id" + bad_text}]}).encode())

        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if len(asked) > 1:
                self.say(400, json.dumps({"error": {"message": "why" + bad_text}}).encode())
            else:
                self.say(200, b"data: " + json.dumps({"choices": [{"delta": {"content": "said" + bad_text}}]}).encode() + b"\n\ndata: [DONE]\n\n")

        def log_message(self, *args):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listener.server_port}"
    env["OPENAI_API_KEY"] = "sk-not-for-you"
    saved = os.path.join(tmp.name, "hostile.json")
    with open(saved, "w") as f:
        json.dump({"messages": [{"role": "system", "content": "sys" + bad_text}]}, f)
    t = Terminal(url, "--load", saved, "--top-k", "5", "--min-p", "0.25", "--repetition-penalty", "1.5")
    seen = t.until("/help says") + t.until("1 messages from")
    for line, wait in (("/system", "sysa"), ("one", "saida"), ("two", "whya")):
        t.until("> ")
        t.type(line + "\n")
        seen += t.until(wait) + t.until("c\\^\\?\\^M")
    t.type("\x04")
    t.end()
    check(seen.count("a^[]0;owned^Gb\ufffd2Jc^?^M") == 4 and not re.search("\x1b\\]|\x07|\x9b", seen), "escapes are not the terminal's", seen)
    check(set(keys) == {None}, "OPENAI_API_KEY is OpenAI's alone", keys)
    check((asked[0].get("top_k"), asked[0].get("min_p"), asked[0].get("repetition_penalty")) == (5, 0.25, 1.5), "samplers go along", asked[:1])
    asked.clear()
    env["KRAIT_API_KEY"] = "mine"
    out = piped(["one"], where=url)[1]
    check(bad_text.strip("\n") in out, "a script gets what was said", out)
    check(keys[-1] == "Bearer mine", "KRAIT_API_KEY is sent", keys)
    check(not {"top_k", "min_p", "repetition_penalty"} & set(asked[0]), "what does nothing is not sent", asked)
    del env["KRAIT_API_KEY"], env["OPENAI_API_KEY"]
    listener.shutdown()


def default_model():
    """The model that comes with Krait, as the program finds it by itself."""
    p = subprocess.run([krait, "chat", "-t", "0"], input=b"Hello\n/undo\nWhat is the opposite of hot?\n/undo\nMy name is Nora.\nWhat is my name?\n", capture_output=True, env=env, timeout=300)
    said = p.stdout.decode(errors="replace")
    check(p.returncode == 0 and "Hello" in said and "cold" in said and said.rstrip().endswith("Nora."), "the model that comes with Krait", (said, p.stderr))


make_model()
default_model()
scripts()
probe = subprocess.run(["ldd", krait], capture_output=True).stdout
terminal(b"libedit" in probe)
if b"libcurl" in probe:
    hostile_server()
    if b"microhttpd" in probe:
        server()
sys.exit(1 if bad else 0)
