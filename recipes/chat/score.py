#!/usr/bin/env python3
"""score.py - what a model of recipes/chat knows: score.py MODEL QUESTIONS [KRAIT]

Asks through krait chat (temperature 0, each question alone): things the text answers and things it does not, sums,
opposites and what was told before.  Prints shares; the questions are drawn by a fixed seed.
"""
import json
import random
import re
import subprocess
import sys

model, questions = sys.argv[1], [json.loads(line) for line in open(sys.argv[2])]
krait = sys.argv[3] if len(sys.argv) > 3 else "krait"
FORM = {"word": r"^{n}( \((noun|verb|adjective|adverb)\): .+\.|: 1\. \(\w+\) .+ 2\. \(\w+\) .+\.)", "package": r"^{n} is a Debian package: .+\. Section: [a-z-]+\.$",
        "command": r"^{n}: .+\. See man {n}\.$"}


def ask(chats):
    """The last answer of each of the conversations, which are lists of what the user says."""
    lines = []
    for chat in chats:
        lines += chat + ["/undo"] * len(chat)
    p = subprocess.run([krait, "chat", model, "-t", "0", "-n", "80"], input="".join(line + "\n" for line in lines), capture_output=True, text=True, errors="replace")
    parts = re.split(r"(?:Taken back; \d+ messages are left\.\n)+", p.stdout)
    assert len(parts) == len(chats) + 1, (len(parts), len(chats), p.stderr[-300:])
    return [part.strip().split("\n")[-1] if len(chat) > 1 else part.strip() for part, chat in zip(parts, chats)]


def share(name, good, shown):
    print(f"{name:44} {100 * sum(good) / len(good):5.1f} % of {len(good)}   {shown}", flush=True)


rng = random.Random(7)
for kind in FORM:
    for held in (False, True):
        rows = [q for q in questions if q["kind"] == kind and q["held"] == held]
        rows = rng.sample(rows, min(len(rows), 100))
        got = ask([[q["ask"]] for q in rows])
        form = [re.match(FORM[kind].replace("{n}", re.escape(q["name"])), g) is not None for q, g in zip(rows, got)]
        share(f"{kind}, {'held out' if held else 'taught'}: in the right form", form, "")
        if not held:
            share(f"{kind}, taught: word for word", [g == q["answer"] for q, g in zip(rows, got)], "")
        for q, g in list(zip(rows, got))[:4]:
            print("      ", q["ask"], "->", g[:160])
sums = [(a, b) for a in range(3, 100, 9) for b in range(2, 100, 11)]
got = ask([[f"What is {a} + {b}?"] for a, b in sums])
share("sums below 200", [g == f"{a} + {b} = {a + b}" for (a, b), g in zip(sums, got)], got[0])
got = ask([[f"What is {max(a, b)} - {min(a, b)}?"] for a, b in sums])
share("differences below 100", [g == f"{max(a, b)} - {min(a, b)} = {abs(a - b)}" for (a, b), g in zip(sums, got)], got[0])
names = ["Nora", "Max", "Ada", "Ivan", "Wei", "Clara", "Xaver", "Brunhild"]
chats = [[f"My name is {n}.", "What does harbour mean?", "What is the opposite of hot?", "What is my name?"] for n in names]
got = ask(chats)
share("a name, two questions later", [n in g for n, g in zip(names, got)], got[0])
made_up = [a + b for a in ("foo", "lum", "zar", "qui") for b in ("bar", "bex", "tool", "-ng")]
got = ask([[f"How do I install {n}?"] for n in made_up])
share("a made-up name copied", [g.endswith(f"apt install {n}") for n, g in zip(made_up, got)], got[0])
for q in ("Hello", "Who are you?", "What can you do?", "What is the opposite of hot?", "What is another word for happy?", "What is a dog?", "Which command lists files?", "Tell me something funny.",
          "Who was Shakespeare?", "Why is the sky blue?", "Write a poem about the sea.", "How do you spell harbour?", "I am sad.", "What is love?", "What is 7 times 8?", "Which package is a text editor?"):
    print(f"  > {q}\n    {ask([[q]])[0]}")
