#!/usr/bin/env python3
"""check_page.py - the page of krait serve in a real browser: headless Chromium, driven by selenium.

    KRAIT_PYTHON=venv/bin/python ctest -R check_page      or      python3 tests/check_page.py build [name of a case ...]

The page comes from the real server, through a stage (page_stage.py) that plays the model's part: it says what a case wants
said and fails as a case wants.  The last cases talk to the real server.  Skipped (77) where something is missing.
"""
import base64
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

try:
    from selenium import webdriver
    from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.chrome.service import Service
except ImportError:
    print("check_page: skipped: no selenium here (Debian: python3-selenium; or pip install selenium in a venv, and KRAIT_PYTHON=venv/bin/python)")
    sys.exit(77)
from page_stage import ROOT, Stage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PATIENCE = 30  # seconds until something is said not to happen


# --- a browser --------------------------------------------------------------------------------------

class Page:
    """One browser, and what a reader does with the page."""

    def __init__(self, stage):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en",
                         "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"):  # a mouse
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.stage = stage
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(60)
        self.size(1280, 800)
        self.requests = []

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def size(self, width, height, touch=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=touch)

    def media(self, **features):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": k.replace("_", "-"), "value": v} for k, v in features.items()])

    def fresh(self, url=None):
        """The page as somebody sees it who was never here."""
        self.size(1280, 800)
        self.media()
        self.driver.get((url or self.stage.url()) + "page/icon.svg")
        self.js("localStorage.clear()")
        self.driver.get(url or self.stage.url())
        self.wait(lambda: self.js("return document.body?.dataset.ready"), "the page to begin")
        self.driver.get_log("browser")

    def reload(self):
        self.driver.refresh()
        self.wait(lambda: self.js("return document.body?.dataset.ready"), "the page to begin again")

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        self.wait(lambda: self.all(css), css + " to be there")
        return self.all(css)[0]

    def text(self, css):
        return self.js("return document.querySelector(arguments[0])?.textContent ?? ''", css)

    def texts(self, css):
        return self.js("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", css)

    def wait(self, condition, what, patience=PATIENCE):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (StaleElementReferenceException, JavascriptException):
                pass
            time.sleep(0.03)
        raise AssertionError("waited in vain for " + what)

    def click(self, css, n=0):
        def done():
            self.all(css)[n].click()
            return True
        self.one(css)
        self.wait(done, css + " to be clicked on")

    def named(self, word, within=""):
        """The button that is called so."""
        found = [b for b in self.all(within + " button") if self.js("return arguments[0].textContent.trim()", b) == word]
        assert found, "no button is called " + word
        return found[-1]

    def press(self, *keys):
        chain = ActionChains(self.driver)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def chord(self, key, letter):
        ActionChains(self.driver).key_down(key).send_keys(letter).key_up(key).perform()

    def idle(self):
        self.wait(lambda: self.text("#send") in ("Send", "Continue"), "the reply to be done")

    def send(self, words, wait=True):
        box = self.one("#words")
        box.send_keys(words, Keys.ENTER)
        if wait:
            self.wait(lambda: self.js("return document.querySelector('#words').value") == "", "the message to leave the box")
            self.idle()

    def replies(self):
        return self.texts(".turn.model .words")

    def tree(self):
        return [(self.js("return arguments[0].querySelector('span:last-child').textContent", row), "on" in (row.get_attribute("class") or ""))
                for row in self.all("[role=treeitem]")]

    def log(self):
        """Complaints of the browser: errors of scripts and of the policy; refused requests are the cases' own wish."""
        return [line["message"] for line in self.driver.get_log("browser")
                if line["level"] in ("SEVERE", "WARNING") and "Failed to load resource" not in line["message"]]

    def collect_requests(self):
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def shot(self, path, kind="png", scale=1):
        width, height = self.js("return [innerWidth, innerHeight]")
        arguments = {"format": kind, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}}
        if kind != "png":
            arguments["quality"] = 86
        Path(path).write_bytes(base64.b64decode(self.cdp("Page.captureScreenshot", **arguments)["data"]))


def asked(stage, part="completions"):
    return [body for method, path, body in stage.asked if part in path and method == "POST"]


def same(got, want, what):
    assert got == want, "%s: got %r, want %r" % (what, got, want)


# --- writing ------------------------------------------------------------------------------------------

def case_send(p, s):
    p.send("What is a krait?")
    same(p.texts(".turn.user .words"), ["What is a krait?"], "the message")
    same(p.replies(), ["A short answer."], "the reply")
    body = asked(s)[-1]
    same(body["messages"], [{"role": "user", "content": "What is a krait?"}], "the messages asked with")
    assert body["stream"] is True and body["logprobs"] is True, body
    p.send("And then?")
    same([m["role"] for m in asked(s)[-1]["messages"]], ["user", "assistant", "user"], "the roles of the second request")
    same(p.text("#title"), "What is a krait?", "the title")


def case_stream(p, s):
    s.text, s.delay = "one two three four five six seven eight nine ten", 0.12
    p.send("Count", wait=False)
    p.wait(lambda: "three" in (p.replies() or [""])[-1], "the third word")
    assert "ten" not in p.replies()[-1], "all came at once"
    same(p.text("#send"), "Stop", "the button while it writes")
    same(p.js("return document.querySelector('#thread').getAttribute('aria-busy')"), "true", "aria-busy while it writes")
    p.wait(lambda: "tokens/s" in p.text("#figures"), "the live speed")
    p.idle()
    same(p.replies()[-1], s.text, "the whole reply")
    figures = p.text("#figures")
    rate = float(re.search(r"tokens/s([\d.]+)", figures).group(1))
    assert 4 < rate < 9, "the speed is said to be %g, it is about 8" % rate
    assert "19.4 MB" in figures and "first token" in figures and "12 of 20" in figures, figures
    same(p.js("return document.querySelector('#thread').getAttribute('aria-busy')"), None, "aria-busy after it")


def case_stop(p, s):
    s.text, s.delay = "word " * 200, 0.05
    for how in ("button", "escape"):
        p.send("Go on", wait=False)
        p.wait(lambda: len((p.replies() or [""])[-1]) > 20, "some words")
        if how == "button":
            p.click("#send")
        else:
            p.press(Keys.ESCAPE)
        p.idle()
        length = len(p.replies()[-1])
        time.sleep(0.3)
        same(len(p.replies()[-1]), length, "words after the stop")
        assert "stopped" in p.texts(".turn.model .stats")[-1], "nothing says that it was stopped"
    p.wait(lambda: s.aborted == 2, "the server to see that nobody listens")
    same(p.text("#notice"), "", "a stop is no trouble")


def case_regenerate(p, s):
    p.send("Say something")
    s.text = "Something else."
    p.named("Another try").click()
    p.wait(lambda: p.replies() == ["Something else."], "the second try")
    p.idle()
    same(p.texts(".siblings > span"), ["2 of 2"], "which try it is")
    same([m["role"] for m in asked(s)[-1]["messages"]], ["user"], "the second request has no reply in it")
    p.named("Earlier try").click()
    same(p.replies(), ["A short answer."], "the first try is still there")
    same(p.js("return document.activeElement.textContent"), "Later try", "the focus goes to the button that is left")
    p.chord(Keys.ALT, "r")
    p.wait(lambda: p.texts(".siblings > span") == ["3 of 3"], "a third try by the keyboard")


def case_go_on(p, s):
    s.text, s.delay = "word " * 30 + "end.", 0.02
    p.send("Tell", wait=False)
    p.wait(lambda: len((p.replies() or [""])[-1]) > 20, "some words")
    p.click("#send")
    p.idle()
    begun = p.replies()[-1]
    p.named("Go on").click()
    p.wait(lambda: p.replies() == [s.text], "the rest of the reply")
    p.idle()
    body = asked(s)[-1]
    same((body["continue_final_message"], body["messages"][-1]["role"]), (True, "assistant"), "what the rest was asked with")
    assert begun.startswith(body["messages"][-1]["content"].strip()), "%r is not gone on with" % begun
    same(p.texts(".siblings"), [], "no other try was made")
    same(p.js("return [...document.querySelectorAll('.turn.model .tok')].map((t) => t.textContent).join('')"), s.text, "its tokens")


def case_other_token(p, s):
    s.text = "The snake sleeps by day."
    p.send("Tell")
    [t for t in p.all(".turn.model .tok") if t.text.strip() == "sleeps"][0].click()
    other = p.js("return document.querySelector('#odds button .what').textContent").replace("␣", " ")
    p.click("#odds button")
    p.wait(lambda: p.texts(".siblings > span") == ["2 of 2"], "a branch with another token")
    p.idle()
    same(asked(s)[-1]["messages"][-1], {"role": "assistant", "content": "The snake" + other}, "what it begins with")
    same(p.replies(), ["The snake" + other + " by day."], "the branch with another token")


def case_edit(p, s):
    p.send("Tell me of cats")
    p.one("#words").send_keys(Keys.ARROW_UP)
    area = p.one(".editor textarea")
    same(area.get_attribute("value"), "Tell me of cats", "what is edited")
    area.send_keys(Keys.ESCAPE)
    same(len(p.all(".editor")), 0, "Escape leaves the editor")
    p.js("document.querySelector('.turn.user [title=Edit]').click()")
    area = p.one(".editor textarea")
    area.clear()
    area.send_keys("Tell me of snakes")
    s.text = "They are long."
    p.named("Send", ".editor").click()
    p.wait(lambda: p.replies() == ["They are long."], "the reply to the edited message")
    p.idle()
    same(p.texts(".turn.user .words"), ["Tell me of snakes"], "the edited message")
    same([t for t, _ in p.tree()], ["Start", "Tell me of cats", "A short answer.", "Tell me of snakes", "They are long."], "both are in the tree")
    p.js("[...document.querySelectorAll('.turn.model [title=Edit]')].at(-1).click()")
    area = p.one(".editor textarea")
    area.send_keys(" Very long.")
    p.named("Keep", ".editor").click()
    same(p.replies(), ["They are long. Very long."], "an edited reply")
    n = len(asked(s))
    p.send("Go on")
    same(asked(s)[-1]["messages"][1]["content"], "They are long. Very long.", "the edited reply is what the model sees")
    same(len(asked(s)), n + 1, "requests")


def grow_tree(p, s):
    """start - q1 - a1 - q2 - a2, and from a1: q3 - a3"""
    for i in (1, 2):
        s.text = "answer %d" % i
        p.send("question %d" % i)
    p.js("document.querySelectorAll('.turn.model')[0].querySelector('[title=\"Branch from here\"]').click()")
    assert "new branch" in p.text("#from"), "nothing says that a branch begins"
    s.text = "answer 3"
    p.send("question 3")


def case_branch(p, s):
    grow_tree(p, s)
    same([m["content"] for m in asked(s)[-1]["messages"]], ["question 1", "answer 1", "question 3"], "what the branch was asked with")
    same(p.replies(), ["answer 1", "answer 3"], "the branch shown")
    same(p.tree(), [("Start", True), ("question 1", True), ("answer 1", True), ("question 2", False), ("answer 2", False),
                    ("question 3", True), ("answer 3", True)], "the tree")
    same(p.js("return document.querySelector('#from').hidden"), True, "the word of a new branch is gone")
    assert "2 branches" in p.text(".hint"), p.text(".hint")


def case_tree_switch(p, s):
    grow_tree(p, s)
    p.click("[role=treeitem]", 4)
    same(p.replies(), ["answer 1", "answer 2"], "the branch clicked on")
    same([t for t, on in p.tree() if on], ["Start", "question 1", "answer 1", "question 2", "answer 2"], "its way in the tree")
    p.js("document.querySelector('[role=treeitem][tabindex=\"0\"]').focus()")
    p.press(Keys.END)
    same(p.js("return document.activeElement.getAttribute('data-node')"), p.all("[role=treeitem]")[6].get_attribute("data-node"), "End goes to the last")
    p.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    same(p.js("return document.activeElement.querySelector('span:last-child').textContent"), "answer 1", "left, to the parent")
    p.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    same(p.replies(), ["answer 1", "answer 3"], "the branch chosen by keys")
    same(p.js("return document.activeElement.getAttribute('role')"), "treeitem", "the focus stays in the tree")
    level = [int(row.get_attribute("aria-level")) for row in p.all("[role=treeitem]")]
    same(level, [1, 2, 3, 4, 5, 4, 5], "aria-level")
    s.text = "answer 4"
    p.send("question 4")
    same([m["content"] for m in asked(s)[-1]["messages"]][2:4], ["question 3", "answer 3"], "what follows the branch switched to")


def case_delete(p, s):
    grow_tree(p, s)
    p.js("[...document.querySelectorAll('.turn.user')].at(-1).querySelector('[title^=Delete]').click()")
    same([t for t, _ in p.tree()], ["Start", "question 1", "answer 1", "question 2", "answer 2"], "the tree without the branch")
    p.named("Undo", "#toast").click()
    same(len(p.tree()), 7, "rows after undo")
    p.js("document.querySelector('#list .bare').click()")
    same(len(p.all("#list .entry")), 0, "conversations after one is deleted")
    p.named("Undo", "#toast").click()
    same(len(p.tree()), 7, "rows after undo of that")


# --- keeping --------------------------------------------------------------------------------------------

def case_reload(p, s):
    grow_tree(p, s)
    p.click("[role=treeitem]", 4)
    p.one("#words").send_keys("half a thought")
    before = p.tree()
    p.reload()
    same(p.tree(), before, "the tree after a reload")
    same(p.replies(), ["answer 1", "answer 2"], "the branch shown after a reload")
    same(p.one("#words").get_attribute("value"), "half a thought", "what was being written")
    assert p.all(".turn.model .tok"), "no probabilities after a reload"
    p.one("#words").clear()
    s.text, s.delay = "slow " * 100, 0.05
    p.send("more", wait=False)
    p.wait(lambda: len(p.replies()) == 3 and len(p.replies()[-1]) > 30, "some words")
    p.reload()
    assert len(p.replies()) == 3 and p.replies()[-1].startswith("slow slow"), "a reload lost what was written: %r" % p.replies()
    p.click("#new")
    same(p.replies(), [], "a new conversation is empty")
    p.click("#list .entry")
    same(len(p.replies()), 3, "the old one is there")


def case_export_import(p, s):
    grow_tree(p, s)
    with tempfile.TemporaryDirectory() as folder:
        p.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
        p.click("#export")
        file = Path(folder) / "krait-conversations.json"
        p.wait(file.exists, "the exported file")
        kept = json.loads(file.read_text())
        same([len(c["nodes"]) for c in kept["conversations"]], [6], "texts in the file")
        p.js("document.querySelector('#list .bare').click()")
        p.one("#file").send_keys(str(file))
        p.wait(lambda: len(p.tree()) == 7, "the imported tree")
        for hostile, words in (("{", "not JSON"), ("[]", "does not hold"), (json.dumps({"format": "krait-conversations", "conversations": [
                {"id": "x", "nodes": {"n1": {"id": "n1", "parent": "n2", "role": "user", "text": "a"},
                                      "n2": {"id": "n2", "parent": "n1", "role": "user", "text": "b"}}}]}), "no conversation")):
            file.write_text(hostile)
            p.one("#file").send_keys(str(file))
            p.wait(lambda: words in p.text("#toast"), "a word about a bad file: " + words)
    leaf = """const done = arguments[arguments.length - 1];
        import("/page/store.js").then(({ imported }) => done(["constructor", "__proto__", ["n1"], "n1"].map((leaf) => imported(JSON.stringify({ format: "krait-conversations",
            conversations: [{ id: "x", leaf, nodes: { n1: { id: "n1", parent: null, role: "user", text: "a" } } }] }))[0].leaf)))"""
    same(p.driver.execute_async_script(leaf), ["n1"] * 4, "a leaf that is no node's name")


def case_full(p, s):
    p.send("first")
    p.js("for (let n = 1 << 20; n > 64; n >>= 1) try { for (;;) localStorage.setItem('pad' + Math.random(), 'x'.repeat(n)); } catch {}")
    s.text = "word " * 1000
    p.send("second", wait=False)
    p.wait(lambda: "no room" in p.text("#toast"), "a word that there is no room")
    p.idle()
    same(len(p.replies()), 2, "replies shown although nothing can be kept")


def case_no_storage(p, s):
    p.js("Storage.prototype.setItem = () => { throw new DOMException('no', 'SecurityError'); }")
    p.send("first")
    same("no room" in p.text("#toast"), False, "a browser that keeps nothing is called full")


# --- what a model may say ---------------------------------------------------------------------------------

ATTACKS = """<script>window.hacked = 1</script>
<img src=x onerror="window.hacked = 1">

<svg/onload=window.hacked=1> <iframe srcdoc="<script>parent.hacked=1</script>"></iframe>

[click](javascript:window.hacked=1) [data](data:text/html,<script>1</script>) [vb](vbscript:x) [slashes](javascript://example.org/%0Awindow.hacked=1) [tab](java\tscript:1)
[ok](https://example.org/a?b=c&d) <https://example.org/e> https://example.org/f. [q](https://example.org/"onmouseover="x)
![picture](https://example.org/p.png) ![x](javascript:1)

```html"onload="window.hacked=1
<script>window.hacked = 1</script>
```

`<b>code</b>` **<i>bold</i>** [<u>in a link</u>](https://example.org/g) &lt;script&gt; &#60;b&#62;

| <b>a</b> | b |
|---|---|
| <script>1</script> | [x](javascript:1) |

<style>body { display: none }</style><base href="https://example.org/"><meta http-equiv=refresh content="0;url=https://example.org">
<form action="https://example.org"><button>b</button></form><a href="https://example.org" onclick="window.hacked=1">a</a>"""


def case_attacks(p, s):
    s.text = ATTACKS
    p.send("<img src=x onerror='window.hacked=1'> <script>window.hacked=1</script>")
    time.sleep(0.3)
    same(p.js("return window.hacked ?? null"), None, "a script of the model ran")
    allowed = "A ARTICLE BLOCKQUOTE BR BUTTON CODE DEL DIV EM FIGCAPTION FIGURE FOOTER H2 H3 HR LI OL P PRE SPAN STRONG SVG TABLE TBODY TD TH THEAD TR UL USE svg use"
    found = p.js("return [...new Set([...document.querySelectorAll('#thread *')].map((e) => e.tagName))]")
    same([t for t in found if t not in allowed.split()], [], "elements in the thread")
    events = p.js("""return [...document.querySelectorAll('#thread *')].flatMap((e) => [...e.attributes]
        .filter((a) => /^on|^srcdoc$|^style$|^src$|^formaction$/i.test(a.name)).map((a) => e.tagName + " " + a.name))""")
    same(events, [], "attributes that run something")
    links = p.js("return [...document.querySelectorAll('#thread a')].map((a) => [a.getAttribute('href'), a.rel, a.target])")
    assert len(links) >= 5, links
    for href, rel, target in links:
        assert re.match(r"https://example\.org(/|$)", href), href
        assert "noopener" in rel and target == "_blank", (href, rel, target)
    assert not any('"' in href for href, _, _ in links), links
    words = p.replies()[-1]
    for part in ("<script>window.hacked = 1</script>", "<img src=x onerror=", "[click](javascript:window.hacked=1)", "&lt;script&gt;", "<style>"):
        assert part in words, "%s is not shown as it is" % part
    same(p.texts(".turn.user .words"), ["<img src=x onerror='window.hacked=1'> <script>window.hacked=1</script>"], "the message, as text")
    p.reload()
    same(p.js("return window.hacked ?? null"), None, "a script of the model ran after a reload")


MARKDOWN = [
    ("a *b* **c** ***d*** `e*f*` ~~g~~", "<p>a <em>b</em> <strong>c</strong> <strong><em>d</em></strong> <code>e*f*</code> <del>g</del></p>"),
    ("2 * 3 * 4, snake_case_name, \\*no\\*", "<p>2 * 3 * 4, snake_case_name, *no*</p>"),
    ("*open **bold*", "<p><em>open **bold</em></p>"),
    ("# One\n\nTwo\nthree", '<h3 class="h1">One</h3><p>Two<br>three</p>'),
    ("- a\n- b\n  - c\n\n1. x\n2. y", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>x</li><li>y</li></ol>"),
    ("3) a\n4) b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("- a\n\n  more\n- b", "<ul><li>a<p>more</p></li><li>b</li></ul>"),
    ("> a\n> - b", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote>"),
    ("```c\nint a;\n\n  b\n```\nz", "<figure class=\"code\"><figcaption><span>c</span></figcaption><pre tabindex=\"0\"><code>int a;\n\n  b\n</code></pre></figure><p>z</p>"),
    ("~~~\nopen", "<figure class=\"code\"><figcaption><span>text</span></figcaption><pre tabindex=\"0\"><code>open</code></pre></figure>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    ("# a # b ##  \n## ##", '<h3 class="h1">a # b</h3><h4 class="h2"></h4>'),
    ("``` a`b\n~~~ c d", '<p>``<code> a</code>b</p><figure class="code"><figcaption><span>c</span></figcaption><pre tabindex="0"><code></code></pre></figure>'),
    ("(see https://e.org/x_(y).)", '<p>(see <a href="https://e.org/x_(y)" rel="noopener noreferrer nofollow" target="_blank">https://e.org/x_(y)</a>.)</p>'),
    ("|a|b|\n|:-:|--:|\n|1|`x\\|y`|", '<div class="wide" tabindex="0" role="group" aria-label="Table"><table><thead><tr><th class="center">a</th><th class="right">b</th></tr></thead>'
     '<tbody><tr><td class="center">1</td><td class="right"><code>x\\|y</code></td></tr></tbody></table></div>'),
    ("**bold with `code` in**", "<p><strong>bold with <code>code</code> in</strong></p>"),
    ("", ""), ("\n\n \n", ""), ("*", "<ul><li></li></ul>"), ("- ", "<ul><li></li></ul>"), ("#", '<h3 class="h1"></h3>'), ("```", '<figure class="code"><figcaption><span>text</span></figcaption><pre tabindex="0"><code></code></pre></figure>'),
]
DRAW = """const done = arguments[arguments.length - 1];
import("/page/markdown.js").then(({ render }) => {
    const make = (text) => { const e = document.createElement("div"); render(e, text); return e; };
    done((%s)(make, arguments[0], render));
}).catch((e) => done("failed: " + e));"""


def case_markdown(p, s):
    html = p.driver.execute_async_script(DRAW % "(make, all) => all.map((text) => make(text).innerHTML)", [m for m, _ in MARKDOWN])
    for (text, want), got in zip(MARKDOWN, html):
        same(got, want, "Markdown %r" % text)
    # a text that grows letter by letter ends as the same text drawn at once
    whole = "\n\n".join(m for m, _ in MARKDOWN) + "\n" + ATTACKS
    growing = """(make, text, render) => {
        const e = document.createElement("div");
        for (let i = 0; i <= text.length; i++) render(e, text.slice(0, i));
        return e.innerHTML === make(text).innerHTML; }"""
    same(p.driver.execute_async_script(DRAW % growing, whole), True, "a text drawn while it grows")


def case_hostile_markdown(p, s):
    rng = random.Random(5)
    texts = [unit * (60000 // len(unit)) for unit in ("*", "_a ", "**a ", "`", "``a`", "[", "![", "[a](", "> ", "- ", "  - a\n", "|a", "|\n|-|\n", "~~", "\\", "<https://",
                                                      "http://a", "***a**", "#", "```\n", "a*b_c`", "[a](http://b", "1. ", "> - 1. ", "(" * 9, "\n")]
    # lines on which a search that tries again and again never ends
    texts += ["# " + " #" * 30000 + "x", "# " + " " * 60000 + "x", "#" + "\t" * 60000 + "#" * 60000 + "x", "```" + "a" * 60000 + "`", "```" + " " * 60000 + "`",
              "a" + " " * 60000 + "b", "|a\n|-" + " " * 60000 + "x", "|a\n" + " " * 60000 + "|-x", "- " * 30000 + "x"]
    texts += ["".join(rng.choice("*_`[]()!<>#-|~\\ \n1.ah") for _ in range(20000)) for _ in range(6)]
    timed = "(make, all) => all.map((text) => { const t = performance.now(); const e = make(text); return [performance.now() - t, e.textContent.length]; })"
    for text, (ms, length) in zip(texts, p.driver.execute_async_script(DRAW % timed, texts)):
        for _ in range(3):  # a machine with other work is given another try
            if ms > 3000:
                ms = min(ms, p.driver.execute_async_script(DRAW % timed, [text])[0][0])
        assert ms < 3000, "%d ms for %r ..." % (ms, text[:12])


# --- states -------------------------------------------------------------------------------------------------

def case_states(p, s):
    p.send("one")
    first = asked(s)[-1]["save_state"]
    assert "state" not in asked(s)[-1], "a first request goes on from a state"
    s.text = "Second answer."
    p.send("two")
    same((asked(s)[-1]["state"], [m["content"] for m in asked(s)[-1]["messages"]]), (first, ["two"]), "what the second request goes on from")
    same([path for method, path, _ in s.asked if path.endswith("/fork")], [], "forks on a straight way")
    assert "state of 40 tokens" in p.text("#figures"), p.text("#figures")
    # a branch is a fork
    p.js("document.querySelectorAll('.turn.model')[0].querySelector('[title=\"Branch from here\"]').click()")
    s.text = "Other answer."
    p.send("three")
    forks = [(path, body["name"]) for method, path, body in s.asked if path.endswith("/fork")]
    branch = asked(s)[-1]["save_state"]
    same(forks, [("/v1/states/" + first + "/fork", branch)], "the fork")
    same(asked(s)[-1]["state"], branch, "what the branch goes on from")
    same(s.states[branch], "oneA short answer.threeOther answer.", "what the state of the branch has read")
    # another try is one, too
    p.chord(Keys.ALT, "r")
    p.wait(lambda: p.texts(".siblings > span")[-1:] == ["2 of 2"], "another try")
    p.idle()
    same(len([1 for _, path, _ in s.asked if path.endswith("/fork")]), 2, "forks after another try")
    assert "4 states" in p.text(".hint"), p.text(".hint")
    # a server that lost its states gets the whole text
    s.states.clear()
    s.text = "Still here."
    p.send("four")
    same(len(asked(s)[-1]["messages"]), 5, "messages sent to a server that lost the state")
    same(p.replies()[-1], "Still here.", "the reply of such a server")
    # other instructions: nothing that was read before is of use
    p.click("#open-settings")
    p.js("const e = document.querySelector('#set-system'); e.value = 'Be brief.'; e.dispatchEvent(new Event('input'))")
    p.send("five")
    same((asked(s)[-1].get("state"), asked(s)[-1]["messages"][0]["role"]), (None, "system"), "a request after other instructions")
    # switched off
    p.js("document.querySelector('#set-states').click()")
    p.send("six")
    assert "state" not in asked(s)[-1] and "save_state" not in asked(s)[-1], asked(s)[-1]


def case_no_states(p, s):
    s.keeps = False
    p.reload()
    grow_tree(p, s)
    for body in asked(s):
        assert "state" not in body and "save_state" not in body, body
    same(len(asked(s)[-1]["messages"]), 3, "messages of a branch without states")
    p.click("#open-settings")
    same(p.js("return document.querySelector('#set-states').disabled"), True, "the switch of states")


def case_states_completion(p, s):
    choose_completion(p)
    p.send("Once")
    first = asked(s)[-1]["save_state"]
    p.send("")
    same((asked(s)[-1]["state"], asked(s)[-1]["prompt"]), (first, ""), "going on without words")
    p.send(" then")
    same(asked(s)[-1]["prompt"], " then", "the words alone")


def cut_once(s, name=None):
    """The next reply is cut short by a server that ends, and that keeps what it remembers under this name, or the one that it was asked for."""
    def event(body):
        s.cut_after = None
        return {"error": {"message": "The server is shutting down; what it remembers is kept, to go on from.", "type": "service_unavailable_error", "param": None, "code": "shutting_down"},
                "state": {"name": name or body["save_state"], "n_tokens": 31}}
    s.cut_after, s.cut_clean = 3, event


def the_rest(p, s):
    """The request that wrote the rest of the last reply, from a state that stands in it."""
    p.wait(lambda: (p.replies() or [""])[-1] == s.text, "the rest of the reply")
    p.idle()
    same(p.texts(".siblings"), [], "no other try was made")
    body = asked(s)[-1]
    same((body.get("continue_final_message"), body["messages"]), (True, [{"role": "assistant", "content": ""}]), "what the rest was asked with")
    return body


def removed(s):
    return [path for method, path, _ in s.asked if method == "DELETE"]


def case_states_cut(p, s):
    s.text = "one two three four five six"
    cut_once(s)
    p.send("First", wait=False)  # it goes on by itself, from where it was
    p.wait(lambda: "server stopped" in p.text("#notice") and "is kept" in p.text("#notice"), "a word about the server that stopped")
    same(the_rest(p, s)["state"], asked(s)[0]["save_state"], "the state that the reply went on from")
    same(p.js("return [...document.querySelectorAll('.turn.model .tok')].map((t) => t.textContent).join('')"), s.text, "its tokens")
    same((p.text("#notice"), removed(s)), ("", []), "the notice afterwards, states that were removed")
    p.send("Second")
    same(asked(s)[-1]["state"], asked(s)[0]["save_state"], "what the next message follows")
    # one that the page had not asked for, as a text to stop at may be in it: the page finds it again, and has it removed when it is no more of use
    p.click("#open-settings")
    p.js("const e = document.querySelector('#set-stop'); e.value = 'nowhere'; e.dispatchEvent(new Event('input'))")
    cut_once(s, "cut-7")
    p.send("Third", wait=False)
    p.wait(lambda: "server stopped" in p.text("#notice"), "a word about the server that stopped")
    p.named("Give up", "#notice").click()
    p.reload()
    same((p.replies()[-1], "the server stopped" in p.text(".turn.model:last-child .stats")), ("one two three", True), "the reply that was cut short")
    same(len([1 for words in p.texts("#thread button") if words == "Continue where the server stopped"]), 1, "buttons")
    p.named("Continue where the server stopped").click()
    same(the_rest(p, s)["state"], "cut-7", "the state that the reply went on from after a reload")
    p.wait(lambda: removed(s) == ["/v1/states/cut-7"], "the state to be removed")
    # a server that lost it gets the text
    cut_once(s, "cut-8")
    p.send("Fourth", wait=False)
    p.wait(lambda: "server stopped" in p.text("#notice"), "a word about the server that stopped")
    s.states.clear()
    p.named("Continue where the server stopped", "#notice").click()
    p.wait(lambda: p.replies()[-1] == s.text, "the rest of the reply")
    p.idle()
    same((asked(s)[-1].get("state"), asked(s)[-1]["messages"][-1]), (None, {"role": "assistant", "content": "one two three"}), "what a server without the state was asked")


def case_states_cut_elsewhere(p, s):
    """What others had asked for is offered where a conversation begins, and gone on with as a branch."""
    about = {"object": "state", "parent": None, "bytes": 19_400_000, "shared_by": 1, "checksum": "0", "model": "m", "fits": True, "open": True, "used": 0}
    s.listed = [{**about, "name": "cut-1", "n_tokens": 1234, "created": time.time() - 300}, {**about, "name": "cut-2", "n_tokens": 7, "created": time.time(), "fits": False},
                {**about, "name": "book", "n_tokens": 8, "created": time.time()}, {**about, "name": "cut-3", "n_tokens": 9, "created": time.time() - 260000, "open": False}]
    s.states = {"cut-1": "somebody's words and one two", "cut-3": "Once"}
    s.text = "one two three four five six"
    p.reload()
    offered = [words for words in p.texts("#thread button") if "server stopped" in words]
    same(offered, ["Continue where the server stopped · 1,234 tokens, 5 minutes ago", "Continue where the server stopped · 9 tokens, 3 days ago"], "what is offered")
    p.named(offered[0]).click()
    p.wait(lambda: p.replies() == ["three four five six"], "the rest of somebody's reply")
    p.idle()
    fork = [(path, body["name"]) for method, path, body in s.asked if path.endswith("/fork")]
    same((fork[0][0], asked(s)[-1]["state"], asked(s)[-1]["messages"]), ("/v1/states/cut-1/fork", fork[0][1], [{"role": "assistant", "content": ""}]), "what it goes on from")
    assert "cut-1" in s.states, "somebody's state was taken away"
    p.send("And then?")
    same((asked(s)[-1]["state"], asked(s)[-1]["messages"]), (fork[0][1], [{"role": "user", "content": "And then?"}]), "what follows it")
    p.chord(Keys.ALT, "n")
    p.named(offered[1]).click()
    p.wait(lambda: p.text(".passage.model") == s.text, "the rest of somebody's text")
    p.idle()
    same(asked(s)[-1]["prompt"], "", "the prompt of a text that goes on")


# --- probabilities ------------------------------------------------------------------------------------------

def case_probabilities(p, s):
    s.text = "The **small** krait sleeps by day."
    p.send("Say it")
    same(p.js("return [...document.querySelectorAll('.turn.model .tok')].map((t) => t.textContent).join('')"), "The small krait sleeps by day.", "tokens in the drawn text")
    token = [t for t in p.all(".turn.model .tok") if t.text.strip() == "sleeps"][0]
    ActionChains(p.driver).move_to_element(token).perform()
    p.wait(lambda: p.js("return !document.querySelector('#odds').hidden"), "probabilities on hover")
    assert "sleeps" in p.text("#odds p") and "%" in p.text("#odds p"), p.text("#odds")
    same(len(p.all("#odds .row")), 5, "tokens listed")
    shares = [float(x.strip("< %")) for x in p.texts("#odds .odd")]
    same(shares, sorted(shares, reverse=True), "likeliest first")
    same(len(p.all("#odds .drawn")), 1, "the token that was drawn")
    ActionChains(p.driver).move_to_element(p.one("#title")).perform()
    p.wait(lambda: p.js("return document.querySelector('#odds').hidden"), "probabilities to go")
    token.click()
    ActionChains(p.driver).move_to_element(p.one("#title")).perform()
    time.sleep(0.1)
    same(p.js("return document.querySelector('#odds').hidden"), False, "a click keeps them")
    p.press(Keys.ESCAPE)
    same(p.js("return document.querySelector('#odds').hidden"), True, "Escape closes them")
    p.js("document.querySelector('.turn.model .tokens').focus()")
    p.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    same(p.text(".tok.current"), "small", "the third drawn token by keyboard")
    assert "small" in p.text("#status") and "%" in p.text("#status"), "it is not said"
    p.js("document.querySelector('#open-settings').click()")
    p.click("label:has(#set-tint)")
    assert p.js("return getComputedStyle(document.querySelector('.turn.model .tok:not(.s0)')).backgroundColor") != "rgba(0, 0, 0, 0)", "no tint"
    p.click("label:has(#set-odds)")
    p.send("Again")
    assert "logprobs" not in asked(s)[-1], "probabilities were asked for"
    same(len(p.all(".turn.model:last-child .tok")), 0, "tokens without probabilities")


def choose_completion(p):
    p.click("label:has(input[value=completion])")


def case_completion(p, s):
    choose_completion(p)
    s.text = " was a snake."
    p.send("There once")
    same(asked(s)[-1]["prompt"], "There once", "the prompt")
    same(asked(s)[-1]["logprobs"], 5, "probabilities asked for")
    s.text = " It slept."
    p.send("")
    same(asked(s)[-1]["prompt"], "There once was a snake.", "the prompt without words of ours")
    p.send(" Then")
    same(asked(s)[-1]["prompt"], "There once was a snake. It slept. Then", "the prompt with them")
    same(p.text(".manuscript"), "There once was a snake. It slept. Then It slept.", "the manuscript")
    # another token
    s.text = " went on."
    token = [t for t in p.all(".passage.model .tok") if t.text.strip() == "snake"][0]
    token.click()
    other = p.js("return document.querySelector('#odds button .what').textContent").replace("␣", " ")
    p.click("#odds button")
    p.wait(lambda: p.text(".manuscript").endswith("went on."), "the text from another token")
    p.idle()
    same(p.text(".manuscript"), "There once was a" + other + " went on.", "the text from another token")
    same(asked(s)[-1]["prompt"], "There once was a" + other, "its prompt")
    same(p.js("return [...document.querySelectorAll('.passage.model .tok')].map((t) => t.textContent).join('')"), " was a" + other + " went on.", "its tokens")
    assert "2 branches" in p.text(".hint"), p.text(".hint")
    # a passage of ours is the one the buttons are for once it is clicked on
    p.click(".passage.user")
    assert "Your words" in p.text(".of-passage"), p.text(".of-passage")


def case_no_template(p, s):
    s.template = False
    p.reload()
    p.wait(lambda: p.js("return document.querySelector('input[value=chat]').disabled"), "chat to be off")
    p.send("Once")
    assert asked(s, "v1/completions"), "no completion was asked for"
    same(p.text(".manuscript"), "OnceA short answer.", "the manuscript")


# --- trouble ---------------------------------------------------------------------------------------------------

def case_refused(p, s):
    s.failures = [(400, {}, {"message": "temperature is 9, want 0 to 2.", "type": "invalid_request_error", "param": "temperature"})]
    p.send("Hello")
    assert "did not accept" in p.text("#notice") and "temperature is 9, want 0 to 2." in p.text("#notice"), p.text("#notice")
    same(p.texts(".turn.user .words"), ["Hello"], "the message is kept")
    same(len(p.all(".turn.model")), 0, "replies")
    p.named("Try again", "#notice").click()
    p.wait(lambda: p.replies() == ["A short answer."], "the reply to the second attempt")
    same(p.text("#notice"), "", "the notice afterwards")
    s.failures = [(413, {}, {"message": "The request has more than the 1048576 bytes that this server takes."})]
    p.send("Long")
    assert "too long" in p.text("#notice"), p.text("#notice")


def case_key(p, s):
    s.key = "sesame"
    p.reload()
    p.wait(lambda: p.js("return document.querySelector('#ask-key').open"), "the question for a key")
    p.one("#key").send_keys("wrong", Keys.ENTER)
    p.wait(lambda: p.js("return document.querySelector('#ask-key').open") and "not" in p.text("#ask-key-why"), "the question again")
    p.one("#key").send_keys("sesame", Keys.ENTER)
    p.wait(lambda: "krait-tiny" in p.text("#model"), "the model's name")
    p.send("Hello")
    same(p.replies(), ["A short answer."], "the reply with a key")
    same(p.js("return JSON.stringify(localStorage).includes('sesame')"), False, "the key is kept unasked")
    s.key = "other"
    p.one("#words").send_keys("Once more", Keys.ENTER)
    p.wait(lambda: p.js("return document.querySelector('#ask-key').open"), "the question in the middle")
    p.click("label:has(#keep-key)")
    p.one("#key").send_keys("other", Keys.ENTER)
    p.wait(lambda: len(p.replies()) == 2, "the reply after the new key")
    p.idle()
    p.reload()
    p.send("And now")
    same(len(p.replies()), 3, "replies with a key that was to be kept")


def case_busy(p, s):
    s.failures = [(429, {"Retry-After": "2"}, {"message": "256 requests wait already."})]
    p.send("Hello")
    assert "busy" in p.text("#notice") and re.search(r"again in [12] s", p.text("#notice")), p.text("#notice")
    p.wait(lambda: p.replies() == ["A short answer."], "the reply when the time is over")
    p.idle()
    same(len(asked(s)), 2, "requests")
    s.failures = [(503, {"Retry-After": "60"}, {"message": "The server is ending."})]
    p.send("Hello again")
    assert "not ready" in p.text("#notice") and "60 s" in p.text("#notice"), p.text("#notice")
    p.named("Give up", "#notice").click()
    time.sleep(0.2)
    same(p.text("#notice"), "", "the notice afterwards")
    same(len(asked(s)), 3, "requests after giving up")
    s.cut_after, s.cut_clean = 2, {"error": {"message": "The server is shutting down.", "type": "server_error", "param": None, "code": "shutting_down"}}
    p.send("And now?", wait=False)
    p.wait(lambda: "not ready" in p.text("#notice") and "is kept" in p.text("#notice"), "a word about a server that ends within a reply")
    p.named("Give up", "#notice").click()


def case_network(p, s):
    s.text, s.cut_after, s.delay = "one two three four five six", 4, 0.05
    p.send("Count")
    p.wait(lambda: "reached" in p.text("#notice"), "a word about the broken stream")
    assert p.replies()[-1].startswith("one two"), p.replies()
    assert "kept" in p.text("#notice") and "broken off" in p.text(".turn.model:last-child .stats"), p.text("#notice")
    s.cut_after = None
    p.named("Another try", "#notice").click()
    p.wait(lambda: p.replies()[-1] == s.text, "the whole reply")
    p.idle()
    s.cut_after, s.cut_clean = 3, True  # a stream that ends without its last line, as behind some proxies
    p.named("Another try").click()
    p.wait(lambda: "reached" in p.text("#notice"), "a word about a stream without its end")
    s.cut_after = None
    p.named("Another try", "#notice").click()
    p.wait(lambda: p.replies()[-1] == s.text, "the whole reply again")
    p.idle()
    p.cdp("Network.enable")
    p.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    try:
        p.send("Are you there?")
        p.wait(lambda: "cannot be reached" in p.text("#notice"), "a word about the network")
    finally:
        p.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    p.wait(lambda: "is back" in p.text("#notice"), "a word that the server is back")
    p.named("Try again", "#notice").click()
    p.wait(lambda: len(p.replies()) == 2, "the reply once it is back")


# --- settings, looks ------------------------------------------------------------------------------------------------

def case_settings(p, s):
    p.click("#open-settings")
    set_value = "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change'))"
    for css, value in (("#set-temperature", "0.3"), ("#set-top_k", "40"), ("#set-max_tokens", "64"), ("#set-seed", "17"), ("#set-stop", "END\n\\n\\n"), ("#set-system", "Be brief.")):
        p.one(css)
        p.js(set_value, css, value)
    p.send("Hello")
    body = asked(s)[-1]
    want = {"temperature": 0.3, "top_k": 40, "max_tokens": 64, "seed": 17, "stop": ["END", "\n\n"], "top_p": 0.95}
    same({k: body.get(k) for k in want}, want, "what is asked for")
    assert "min_p" not in body and "repetition_penalty" not in body, "what is off is sent"
    same(body["messages"][0], {"role": "system", "content": "Be brief."}, "the instructions")
    p.reload()
    p.send("Hello")
    same(asked(s)[-1]["temperature"], 0.3, "the temperature after a reload")
    p.click("#open-settings")
    p.named("Back to the usual", "#pane-settings").click()
    same(p.one("#set-temperature").get_attribute("value"), "0.8", "the usual temperature")
    s.most = 100
    p.reload()
    p.send("Hello")
    same(asked(s)[-1]["max_tokens"], 100, "no more tokens are asked for than the server allows")
    p.click("#open-settings")
    for i in p.js("return [...document.querySelectorAll('#pane-settings input, #pane-settings textarea')].map((e) => (e.labels?.length || e.ariaLabel) ? '' : e.id || e.name)"):
        same(i, "", "a control without a label")


def background(p):
    return p.js("return getComputedStyle(document.body).backgroundColor")


def case_theme(p, s):
    p.media(prefers_color_scheme="light")
    light = background(p)
    p.media(prefers_color_scheme="dark")
    dark = background(p)
    assert light != dark, "the system's theme changes nothing"
    p.click("#theme")
    same(background(p), light, "the button chooses the other theme")
    p.reload()
    same(background(p), light, "the theme after a reload")
    p.click("#theme")
    same(background(p), dark, "the button again")
    p.media(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    s.delay, s.text = 0.05, "word " * 40
    p.send("Hello", wait=False)
    p.wait(lambda: p.replies() and len(p.replies()[-1]) > 10, "some words")
    same(p.js("return document.getAnimations().length"), 0, "animations where motion is to be reduced")


WIDE = "A [link](https://example.org/" + "a" * 90 + ") " + "w" * 120 + "\n\n```\n" + "x" * 300 + "\n```\n\n| " + " | ".join("column%d" % i for i in range(12)) + " |\n|" + "---|" * 12 \
    + "\n| " + " | ".join("cell" for i in range(12)) + " |\n\n- " + "y" * 200 + "\n\n`" + "z" * 200 + "`"


def no_sideways(p, what):
    wide = p.js("""const w = document.documentElement.clientWidth, out = [];
        if (document.documentElement.scrollWidth > w || document.body.scrollWidth > w) out.push("page");
        for (const id of ["scroll", "composer", "side", "panel"]) { const e = document.getElementById(id); if (e.clientWidth && e.scrollWidth > e.clientWidth + 1) out.push(id); }
        for (const e of document.querySelectorAll("button, input, textarea, h1")) {
            const r = e.getBoundingClientRect();
            if (r.width > 1 && e.checkVisibility() && !e.closest("pre, .wide, .skip, [inert]") && (r.right > w + 1 || r.left < -1)) out.push(e.id || e.title || e.tagName);
        }
        return out;""")
    same(wide, [], what + ": wider than the screen")


def case_phone(p, s):
    for width in (320, 390):
        p.fresh()
        p.size(width, 640, touch=True)
        p.reload()
        no_sideways(p, "%d px, the beginning" % width)
        s.text = WIDE
        p.one("#words").send_keys("m" * 100)
        p.click("#send")
        p.idle()
        no_sideways(p, "%d px, a chat" % width)
        small = p.js("""return [...document.querySelectorAll("button")].filter((b) => { const r = b.getBoundingClientRect();
            return b.checkVisibility() && r.width > 1 && !b.closest("[inert]") && (r.width < 24 || r.height < 24); }).map((b) => b.textContent)""")
        same(small, [], "buttons too small for a finger")
        p.click(".turn.model .tok", 1)
        p.wait(lambda: p.js("return !document.querySelector('#odds').hidden"), "probabilities on a tap")
        no_sideways(p, "%d px, probabilities" % width)
        p.click("#open-tree")
        p.wait(lambda: p.all("[role=treeitem]"), "the tree")
        no_sideways(p, "%d px, the tree" % width)
        p.click("#tab-settings")
        no_sideways(p, "%d px, the settings" % width)
        p.press(Keys.ESCAPE)
        same(p.js("return document.activeElement.id"), "open-settings", "the focus after a drawer was closed")
        p.click("#open-side")
        no_sideways(p, "%d px, the list" % width)
        p.click("#side .close")
        p.click("#open-side")
        p.click("#new")
        choose_completion(p)
        p.one("#words").send_keys("n" * 200)
        p.click("#send")
        p.idle()
        no_sideways(p, "%d px, a manuscript" % width)


CONTRAST = """
const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); const u = c.startsWith("color(srgb") ? 255 : 1;
    return [m[0] * u, m[1] * u, m[2] * u, m[3] ?? 1]; };
const over = (a, b) => { const t = a[3] + b[3] * (1 - a[3]); return [0, 1, 2].map((i) => t ? (a[i] * a[3] + b[i] * b[3] * (1 - a[3])) / t : 0).concat(t); };
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((x) => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
const behind = (e) => { let c = [0, 0, 0, 0]; for (; e && c[3] < 1; e = e.parentElement) c = over(c, parse(getComputedStyle(e).backgroundColor)); return c; };
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, r = e.getBoundingClientRect();
    if (!walk.currentNode.data.trim() || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || r.width <= 1 || e.closest("button:disabled, .hidden, noscript, [inert], option")) continue;
    const back = behind(e), style = getComputedStyle(e), large = parseFloat(style.fontSize) >= 24;
    const x = ratio(over(parse(style.color), back), back);
    if (x < (large ? 3 : 4.5)) found.push(x.toFixed(2) + " " + walk.currentNode.data.trim().slice(0, 30) + " (" + e.className + ")");
}
for (const e of document.querySelectorAll("textarea, input[type=text]")) {
    if (!e.placeholder || !e.checkVisibility() || e.closest("[inert]")) continue;
    const back = behind(e), x = ratio(over(parse(getComputedStyle(e, "::placeholder").color), back), back);
    if (x < 4.5) found.push(x.toFixed(2) + " placeholder " + e.placeholder);
}
for (const e of document.querySelectorAll("button:not(:disabled) .icon")) {
    if (!e.checkVisibility() || e.closest("[inert]")) continue;
    const back = behind(e.parentElement), x = ratio(over(parse(getComputedStyle(e).color), back), back);
    if (x < 3) found.push(x.toFixed(2) + " icon of " + e.parentElement.textContent);
}
return found;"""
NAMES = """
const label = (e) => (e.ariaLabel || (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ")
    || [...(e.labels ?? [])].map((l) => l.textContent).join(" ") || (/^(BUTTON|A|SUMMARY)$/.test(e.tagName) || e.getAttribute("role") === "treeitem" || e.getAttribute("role") === "tab" ? e.textContent : "")).trim();
const bad = [...document.querySelectorAll("button, a, input:not([type=hidden]), textarea, [role=tree], [role=treeitem], [role=tablist], [role=tabpanel], [role=log], aside, nav, dialog, [role=dialog], [tabindex='0']")]
    .filter((e) => !e.hidden && !label(e) && !e.matches("pre")).map((e) => e.outerHTML.slice(0, 80));
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => bad.push("twice: " + id));
for (const name of ["aria-controls", "aria-describedby", "aria-labelledby", "for"])
    for (const e of document.querySelectorAll("[" + name + "]")) for (const id of e.getAttribute(name).split(" ")) if (!document.getElementById(id)) bad.push(name + " to nothing: " + id);
for (const css of ["main", "h1", "nav", "aside", "header", "form", "[role=status]", "[role=alert]", "html[lang]"]) if (!document.querySelector(css)) bad.push("no " + css);
if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("h1").length !== 1) bad.push("not one main and one h1");
for (const e of document.querySelectorAll("svg")) if (e.ariaHidden !== "true") bad.push("a drawing that is read out");
let last = 1;
for (const h of document.querySelectorAll("main :is(h1,h2,h3,h4,h5,h6)")) { const n = Number(h.tagName[1]); if (n > last + 1) bad.push("heading " + n + " after " + last); last = n; }
return bad;"""


def views(p, s):
    """Each state of the page in turn, by name."""
    p.fresh()
    yield "the beginning"
    s.text = "# Head\n\nText with `code`, [a link](https://example.org), **bold**\n\n> quote\n\n```c\nint x;\n```\n\n|a|b|\n|-|-|\n|1|2|\n\n1. one"
    p.send("Hello")
    s.text = "Other"
    p.chord(Keys.ALT, "r")
    p.idle()
    yield "a chat"
    p.click("[role=treeitem]", 2)
    p.click(".turn.model .tok", 2)
    yield "probabilities"
    p.press(Keys.ESCAPE)
    p.click("#open-settings")
    p.js("document.documentElement.classList.add('tint')")
    yield "settings, tinted"
    p.js("document.querySelector('.turn.user [title=Edit]').click()")
    yield "an editor"
    p.press(Keys.ESCAPE)
    s.failures = [(429, {"Retry-After": "60"}, {"message": "Wait."})]
    p.send("More")
    yield "trouble"
    p.click("#new")
    choose_completion(p)
    p.send("Once")
    p.send(" and")
    p.click(".passage.user")
    yield "a manuscript"
    p.press(Keys.ESCAPE)
    p.js("document.querySelector('#list .bare').click()")
    yield "a toast"
    p.js("document.activeElement.blur()")
    p.press("?")
    yield "help"
    p.named("Close", "#help").click()


def case_accessible(p, s):
    for theme in ("light", "dark"):
        for view in views(p, s):
            p.media(prefers_color_scheme=theme)
            time.sleep(0.2)
            same(p.js(CONTRAST), [], "%s, %s: too little contrast" % (theme, view))
            same(p.js(NAMES), [], "%s, %s: names and landmarks" % (theme, view))


def case_focus(p, s):
    p.send("Hello")
    p.js("document.querySelector('.skip').focus()")
    same(p.js("return document.querySelector('a, button, input, textarea, [tabindex=\"0\"]').className"), "skip", "the first stop")
    order = []
    for _ in range(60):
        p.press(Keys.TAB)
        where = p.js("""const e = document.activeElement, s = getComputedStyle(e);
            return [e.id || e.className || e.textContent.trim(), e === document.body || s.outlineStyle !== "none" || e.id === "words" || e.matches("[type=radio]"), e.textContent.trim()]""")
        if order and where[0] == order[0][0] and where[2] == order[0][2]:
            break
        order.append(where)
    names = [name for name, _, _ in order]
    for early, late in (("new", "open-side"), ("open-settings", "words"), ("words", "send"), ("send", "tab-tree")):
        assert early in names and late in names and names.index(early) < names.index(late), "%s does not come before %s in %s" % (early, late, names)
    same([name for name, seen, _ in order if not seen], [], "stops without a visible focus")
    p.js("document.querySelector('.skip').focus()")
    p.press(Keys.ENTER)
    same(p.js("return document.activeElement.id"), "words", "where the skip link goes")
    same(p.js("return document.querySelector('#status').textContent"), "Done.", "what is said at the end of a reply")


# --- the real server ---------------------------------------------------------------------------------------------------

class Real:
    """krait serve with a model of a few words, trained in a second."""

    def __init__(self, build):
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.krait, self.started = Path(build).resolve() / "krait", []
        rng = random.Random(3)
        text = " ".join(rng.choice("the krait is a small snake with bands that sleeps by day and hunts at night near water".split()) for _ in range(30000))
        (Path(self.folder.name) / "text.txt").write_text(text)
        self.train("tiny", d_model=16, n_layer=1, batch_size=2, seq_len=32, steps=200, lr=0.02)

    def train(self, name, **options):
        self.run("train", "--data.paths=text.txt", "--tokenizer=%s/tests/data" % ROOT, "--end_token=<|endoftext|>", "--mixer.type=mamba1",
                 "--out=" + name, *("--%s=%s" % option for option in options.items()))

    def run(self, *arguments):
        done = subprocess.run([self.krait, *arguments], cwd=self.folder.name, capture_output=True, text=True)
        assert done.returncode == 0, "krait %s: %s" % (arguments[0], done.stdout + done.stderr)
        return done.stdout

    def serve(self, *options, model="tiny", port="0"):
        log = open(Path(self.folder.name) / ("log%d" % len(self.started)), "w+")
        process = subprocess.Popen([self.krait, "serve", model, "--port", port, *options], cwd=self.folder.name, stdout=log, stderr=log)
        self.started.append(process)
        for _ in range(200):
            log.seek(0)
            found = re.search(r"(http://[\d.:]+)", log.read())
            if found:
                return found.group(1) + "/"
            if process.poll() is not None:
                break
            time.sleep(0.05)
        log.seek(0)
        raise AssertionError("krait serve does not start: " + log.read())

    def close(self):
        for process in self.started:
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            process.wait(20)
        self.folder.cleanup()


def case_real_completion(p, s, real):
    p.fresh(s.page)
    choose_completion(p)
    p.send("the krait is a small")
    p.wait(lambda: len(p.text(".passage.model")) > 3, "words of a real model")
    assert p.all(".passage.model .tok"), "no probabilities from the real server"
    p.named("Another try").click()
    p.wait(lambda: p.texts(".siblings > span") == ["2 of 2"], "another try")
    p.idle()
    p.reload()
    same(p.texts(".siblings > span"), ["2 of 2"], "the tries after a reload")


def case_real_chat(p, s, real):
    p.fresh(s.chat_page)
    p.js("""const s = JSON.parse(localStorage.getItem("krait/settings") ?? "{}");
        localStorage.setItem("krait/settings", JSON.stringify({ ...s, temperature: 0, max_tokens: 24, tint: false, odds: true, states: true }))""")
    p.reload()
    p.send("the krait is a small snake")
    p.send("at night near water")
    fresh = p.replies()[-1]
    assert len(fresh) > 10, "a short reply: %r" % fresh
    assert re.search(r"state of [\d,]+ tokens", p.text("#figures")), p.text("#figures")
    prompt = p.js("""const key = Object.keys(localStorage).find((k) => k.includes("conversation"));
        const c = JSON.parse(localStorage.getItem(key)), models = Object.values(c.nodes).filter((n) => n.role === "model"); return models.map((n) => n.stats.prompt);""")
    assert prompt[1] < prompt[0] + 24, "the second request read all again: %s tokens" % prompt
    p.chord(Keys.ALT, "r")
    p.wait(lambda: p.texts(".siblings > span")[-1:] == ["2 of 2"], "a second reply")
    p.idle()
    same(p.replies()[-1], fresh, "a reply from a fork of the same state")
    assert "3 states" in p.text(".hint"), p.text(".hint")
    p.click("#open-settings")
    p.click("label:has(#set-states)")
    p.chord(Keys.ALT, "r")
    p.wait(lambda: p.texts(".siblings > span")[-1:] == ["3 of 3"], "a third reply")
    p.idle()
    same(p.replies()[-1], fresh, "a reply from the text instead of a state")


def case_real_cut(p, s, real):
    """A server that is stopped in the middle of a reply, and started again."""
    real.train("slow", d_model=512, n_layer=4, batch_size=1, seq_len=8, steps=1)  # of a second or two for a reply, of noise
    options = ["--chat-template", "chatml", "--states", "cut", "--drain-seconds", "0.1"]
    url = real.serve(*options, model="slow")
    p.fresh(url)
    p.js("""const s = JSON.parse(localStorage.getItem("krait/settings") ?? "{}");
        localStorage.setItem("krait/settings", JSON.stringify({ ...s, temperature: 1, max_tokens: 4096, odds: false }))""")
    p.reload()
    p.send("the krait is a small snake", wait=False)

    def written():
        with urllib.request.urlopen(url + "metrics") as r:
            return float(re.search(rb"krait_generated_tokens_total (\d+)", r.read())[1])
    p.wait(lambda: written() > 20, "some words")
    real.started[-1].send_signal(signal.SIGTERM)
    real.started[-1].wait(30)
    p.wait(lambda: p.text("#notice"), "a word about the server that stopped")

    def kept():
        return p.js("""const key = Object.keys(localStorage).find((k) => k.includes("conversation"));
            return Object.values(JSON.parse(localStorage.getItem(key)).nodes).at(-1);""")
    before = kept()
    assert before.get("state") and before["stats"]["finish"] == "cut" and before["stats"]["held"] > 20 and before["text"], before
    real.serve(*options, model="slow", port=url.rsplit(":", 1)[1].strip("/"))
    p.wait(lambda: len(kept()["text"]) > len(before["text"]), "the reply to go on")
    p.click("#send")
    p.wait(lambda: p.text("#send") == "Send", "the reply to be done")
    assert kept()["text"].startswith(before["text"]), "what was written before is not what it goes on with"
    same(p.texts(".siblings"), [], "no other try was made")


def case_real_key(p, s, real):
    (Path(real.folder.name) / "keys").write_text("sesame\n")
    p.fresh(real.serve("--api-key-file", "keys"))
    p.wait(lambda: p.js("return document.querySelector('#ask-key').open"), "the question for a key")
    p.one("#key").send_keys("sesame", Keys.ENTER)
    p.wait(lambda: "tiny" in p.text("#model"), "the model's name")
    p.wait(lambda: p.js("return document.querySelector('input[value=chat]')?.disabled"), "chat to be off, as the model has no template")
    p.send("the krait")
    assert len(p.text(".passage.model")) > 3, p.text(".manuscript")


def case_real_page(p, s, real):
    p.cdp("Network.setCacheDisabled", cacheDisabled=True)
    p.fresh(s.page)
    p.cdp("Network.setCacheDisabled", cacheDisabled=False)
    total = p.js("return performance.getEntriesByType('resource').reduce((sum, e) => sum + e.encodedBodySize, performance.getEntriesByType('navigation')[0].encodedBodySize)")
    assert 10_000 < total < 100_000, "the page has %d bytes" % total
    same(p.driver.execute_async_script("const done = arguments[0]; fetch('/').then((r) => done(r.headers.get('content-security-policy')))").count("unsafe"), 0, "the policy")
    same(p.js("try { document.body.innerHTML = '<b>x</b>'; return 'allowed'; } catch { return 'refused'; }"), "refused", "HTML from text")
    same(p.driver.execute_async_script("const done = arguments[0]; fetch('https://example.org/').then(() => done('allowed'), () => done('refused'))"), "refused", "another server")
    p.driver.get_log("browser")


# --- all ------------------------------------------------------------------------------------------------------------------

def skip(why):
    print("check_page: skipped: " + why)
    sys.exit(77)


def prepare(build):
    if not CHROMIUM or not DRIVER:
        skip("no Chromium with its driver here (Debian: chromium chromium-driver)")
    if not (Path(build) / "krait").exists():
        skip("no krait in %s" % build)
    known = subprocess.run([Path(build) / "krait", "serve", "/nowhere"], capture_output=True, text=True)
    real = Real(build)
    try:
        return real, real.serve()
    except AssertionError as e:
        if "no server" in str(e):
            skip("this build has no server")
        raise AssertionError(str(e) + known.stderr)


def main():
    build, names = sys.argv[1] if len(sys.argv) > 1 else "build", sys.argv[2:]
    real, url = prepare(build)
    stage = Stage(page=url)
    stage.chat_page = real.serve("--chat-template", "chatml", "--states", "states")
    page, bad, began = Page(stage), 0, time.monotonic()
    cases = [(name[5:], run) for name, run in globals().items() if name.startswith("case_") and (not names or name[5:] in names)]
    try:
        for name, run in cases:
            stage.reset()
            stage.keeps = "states" in name
            start = time.monotonic()
            try:
                page.fresh()
                run(page, stage, real) if name.startswith("real_") else run(page, stage)
                same(page.log(), [], "errors in the console")
            except Exception as e:
                bad += 1
                print("check_page: %s: %s" % (name, str(e).split("Stacktrace")[0].strip()), flush=True)
                if os.environ.get("CHECK_PAGE_SHOTS"):
                    page.shot(Path(os.environ["CHECK_PAGE_SHOTS"]) / (name + ".png"))
            if os.environ.get("CHECK_PAGE_TIMES"):
                print("%6.1f s  %s" % (time.monotonic() - start, name), flush=True)
        page.collect_requests()
        outside = {u for u in page.requests if not re.match(r"http://127\.0\.0\.1:\d+/|data:,|blob:|about:|https://example\.org/$", u)}
        if outside:
            bad += 1
            print("check_page: requests to others: %s" % sorted(outside)[:5])
        if len(page.requests) < 10:
            bad += 1
            print("check_page: only %d requests were seen" % len(page.requests))
    finally:
        page.driver.quit()
        real.close()
    print("check_page: %d cases, %d bad, %.0f s" % (len(cases), bad, time.monotonic() - began))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
