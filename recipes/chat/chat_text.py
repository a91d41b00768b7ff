#!/usr/bin/env python3
"""chat_text.py - the text of recipes/chat: prose and manuals to learn English from, then conversations.

    chat_text.py prose ROOT NOVELS OUT     train.txt and held-out.txt, as recipes/quality makes them, of free sources alone
    chat_text.py talk ROOT MAN AVAILABLE OUT   chat.txt, questions.jsonl

ROOT is where get-text.sh unpacked packages, MAN holds manual pages, AVAILABLE is what `apt-cache dumpavail` says.
chat.txt holds conversations in ChatML with a form feed between them.  questions.jsonl asks about words, packages and
commands: those with "held": true are in no conversation.  The same packages give the same bytes.
"""
import collections
import glob
import gzip
import hashlib
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "quality"))
import plain_text  # noqa: E402

FREE = {"austen", "engWEB2015eb", "tdavid", "mhcc", "jargon", "devil", "postgresql", "sqlite3", "apache2", "django", "python"}
WORDS, PACKAGES = 20000, 9000


def held(kind, name):
    """One in forty of the things to ask about is never answered in the text."""
    return hashlib.blake2b(f"{kind}/{name}".encode(), digest_size=2).digest()[0] < 7


def prose(root, austen, out):
    everything = plain_text.all_documents
    plain_text.all_documents = lambda r, a: ((name, documents) for name, documents in everything(r, a) if name in FREE)
    sys.argv = ["plain_text.py", root, austen, out]
    plain_text.main()


# --- words ----------------------------------------------------------------------------------

KINDS = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}


class Wordnet:
    def __init__(self, folder):
        self.synsets, self.senses = {}, collections.defaultdict(list)
        for part in ("noun", "verb", "adj", "adv"):
            for line in open(f"{folder}/data.{part}", encoding="latin-1"):
                if line[0] != " ":
                    self.read_synset(part[0] if part != "adv" else "r", line)
        count = {}  # how often a sense was met in the texts that were tagged
        for line in open(f"{folder}/cntlist.rev", encoding="latin-1"):
            key, number, n = line.split()
            word, rest = key.split("%")
            count[word, "nvara"[int(rest[0]) - 1], int(number)] = int(n)
        for part in ("noun", "verb", "adj", "adv"):
            for line in open(f"{folder}/index.{part}", encoding="latin-1"):
                f = line.split()
                if line[0] == " ":
                    continue
                kind = part[0] if part != "adv" else "r"
                for number, offset in enumerate(f[-int(f[2]):], 1):
                    self.senses[f[0].replace("_", " ")].append((count.get((f[0], kind, number), 0), number, kind, int(offset)))

    def read_synset(self, part, line):
        front, gloss = line.split(" | ", 1)
        f = front.split()
        n = int(f[3], 16)
        words = [f[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(n)]
        at, pointers = 5 + 2 * n, []
        for i in range(int(f[4 + 2 * n])):
            symbol, offset, kind, ends = f[at + 4 * i:at + 4 * i + 4]
            pointers.append((symbol, {"s": "a"}.get(kind, kind), int(offset), ends))
        parts = [g.strip() for g in gloss.strip().split(";")]
        meaning = [g for g in parts if not g.startswith('"')]
        examples = [g.strip('"') for g in parts if g.startswith('"') and g.endswith('"')]
        self.synsets[part, int(f[0])] = {"words": words, "pointers": pointers, "meaning": "; ".join(meaning)[:200], "examples": examples}

    def best(self, word):
        """A word's senses, the most frequent first, the first of each kind (noun, verb, ...) alone."""
        seen, out = set(), []
        for count, number, kind, offset in sorted(self.senses[word], key=lambda s: (-s[0], s[1])):
            if kind not in seen and (kind, offset) in self.synsets:
                seen.add(kind)
                out.append((count, kind, self.synsets[kind, offset]))
        return out


def common_words(wn):
    """Words that were met most often in the texts that WordNet counted."""
    count = {w: sum(s[0] for s in senses) for w, senses in wn.senses.items() if re.fullmatch(r"[a-z]{2,16}", w)}
    return sorted(count, key=lambda w: (-count[w], -len(wn.senses[w]), w))[:WORDS]


def an(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def define(word, senses):
    kept = [s for s in senses if s[0] * 5 >= senses[0][0]][:2]
    if len(kept) == 1:
        _, kind, s = kept[0]
        examples = [e for e in s["examples"] if word[:4] in e.lower()]
        example = f' For example: "{examples[0]}".' if examples else ""
        return f"{word} ({KINDS[kind]}): {s['meaning']}.{example}"
    return f"{word}: " + " ".join(f"{i}. ({KINDS[kind]}) {s['meaning']}." for i, (_, kind, s) in enumerate(kept, 1))


ASK_WORD = ["What does {w} mean?", "What does the word {w} mean?", "Define {w}.", "What is the meaning of {w}?", 'What does "{w}" mean?',
            "define {w}", "what does {w} mean", "{w}", "{w}?", "What does {w} mean", "Can you explain the word {w}?", "Tell me what {w} means.", "meaning of {w}", "What is the definition of {w}?"]
ASK_THING = ["What is {a}?", "What's {a}?", "what is {a}", "Tell me what {a} is.", "What is {w}?"]


def word_questions(wn, words, rng):
    for w in words:
        senses = wn.best(w)
        if not senses:
            continue
        asks, answer = list(ASK_WORD), define(w, senses)
        if senses[0][1] == "n":
            asks += ASK_THING
        yield "word", w, [a.format(w=w, a=an(w)) for a in rng.sample(asks, 4)], [answer]
        _, kind, s = senses[0]
        others = [x for x in s["words"] if x.lower() != w]
        if others:
            said = f"Another word for {w} is {others[0]}." if len(others) == 1 else f"Other words for {w} are {', '.join(others[:3])}."
            yield "synonym", w, rng.sample([f"What is another word for {w}?", f"Give me a synonym of {w}.", f"synonyms of {w}", f"Which word means the same as {w}?"], 2), [said]
        for symbol, k, offset, ends in s["pointers"]:
            other = wn.synsets.get((k, offset))
            if symbol == "!" and other and s["words"][int(ends[:2], 16) - 1].lower() == w:
                o = other["words"][int(ends[2:], 16) - 1]
                yield "opposite", w, [f"What is the opposite of {w}?", f"What's the opposite of {w}?", f"Give me an antonym of {w}.", f"opposite of {w}"], [f"The opposite of {w} is {o}."]
            if symbol == "@" and kind == "n" and other:
                thing = other["words"][0]
                yield "kind", w, [f"What kind of thing is {an(w)}?"], [f"{an(w).capitalize()} is a kind of {thing}."]
                yield "kind", w, [f"Is {an(w)} a kind of {thing}?"], [f"Yes, {an(w)} is a kind of {thing}."]
                break


# --- packages and commands ----------------------------------------------------------------------

def packages(path):
    """Programs, those that most other packages want first."""
    found, wanted = {}, collections.Counter()
    for stanza in open(path, encoding="utf-8", errors="replace").read().split("\n\n"):
        f = dict(re.findall(r"(?m)^([A-Z][A-Za-z-]*): (.*)$", stanza))
        name, about = f.get("Package", ""), f.get("Description", "")
        for other in set(re.findall(r"(?:^|[,|] *)([a-z0-9][a-z0-9+.-]+)", " , ".join(f.get(k, "") for k in ("Depends", "Recommends", "Suggests")))):
            wanted[other] += 1
        section = f.get("Section", "").split("/")[-1]
        if section in ("libs", "libdevel", "debug", "oldlibs", "doc", "localization", "perl", "python", "ruby", "javascript", "haskell", "golang", "rust", "php", "ocaml", "java", "kernel", "metapackages", "introspection", "translations", "fonts", "gnu-r", "lisp"):
            continue
        if re.search(r"^lib|-(dev|doc|data|common|dbg|l10n|plugin|plugins|utils-data|locales|examples)$|^(python3|ruby|golang|node)-", name) or not 12 <= len(about) <= 80:
            continue
        if re.search(r"transitional|dummy|metapackage|meta-package|\((data|documentation|.*files)\)", about):
            continue
        found[name] = (about.strip().rstrip("."), section)
    return sorted(((n, *found[n]) for n in found), key=lambda p: (-wanted[p[0]], p[0]))[:PACKAGES]


def lower_first(text):
    return text if re.match(r"[A-Z][A-Z0-9]|[A-Z]\S*[A-Z]|I ", text) else text[:1].lower() + text[1:]


def package_questions(rows, rng):
    for name, about, section in rows:
        asks = [f"What is the package {name}?", f"What is {name}?", f"What does the package {name} do?", f"Tell me about the package {name}.", f"What is {name} in Debian?", f"what's {name}"]
        yield "package", name, rng.sample(asks, 3), [f"{name} is a Debian package: {about}. Section: {section}."]
        yield "install", name, rng.sample([f"How do I install {name}?", f"How can I install {name} on Debian?", f"install {name}", f"I want to install {name}."], 1), [f"Run this as root: apt install {name}"]
        yield "which", name, rng.sample([f"Which package is this: {about}?", f"Which package do I need? {about}.", f"Find me a package: {lower_first(about)}"], 1), [f"That is {name}. Install it with: apt install {name}"]


def commands(folder):
    seen = set()
    for path in sorted(glob.glob(f"{folder}/usr/share/man/man[18]/*.gz")):
        try:
            text = gzip.open(path, "rt", encoding="utf-8", errors="replace").read(6000)
        except OSError:
            continue
        m = re.search(r'(?ms)^\.S[hH]\s+"?NAME"?\s*\n(.*?)^\.S[hH]', text)
        name = os.path.basename(path).split(".")[0]
        if not m or name in seen or not re.fullmatch(r"[a-z][a-z0-9_+-]{1,16}", name):
            continue
        body = re.sub(r'(?m)^\.\\".*$', "", m.group(1))
        about = re.search(r"(?m)^\.Nd (.*)$", body)
        line = about.group(1) if about else re.sub(r"(?m)^\.\w+ ?", "", body).replace("\n", " ")
        line = re.sub(r"\\f.|\\&|\\[sS][+-]?\d", "", line).replace("\\-", "-").replace("\\(em", "-").replace("\\", "")
        if not about:
            line = line.split(" - ", 1)[-1] if " - " in line else ""
        line = re.sub(r"\s+", " ", line).strip(' ."')
        if 8 <= len(line) <= 100:
            seen.add(name)
            yield name, lower_first(line)


def command_questions(rows, rng):
    for name, about in rows:
        asks = [f"What does the command {name} do?", f"What does {name} do?", f"What is {name} for?", f"What is the command {name}?", f"Explain the command {name}.", f"man {name}"]
        yield "command", name, asks, [f"{name}: {about}. See man {name}."]
        yield "find", name, [f"Which command do I use to {about}?", f"Which command is this: {about}?", f"I need a command: {about}."], [f"Use {name}. See man {name}."]


# --- talk ---------------------------------------------------------------------------------------------

ABOUT_ME = "I am Krait, a small language model that runs on this machine."
CAN = ("I can say what a word means, find another word or its opposite, tell you about Debian packages and commands, add small numbers, and remember what you told me. "
       "I am small: I often make mistakes, so check what matters.")
UNSURE = "I do not know. I am a small model and know words, commands and packages best."
TOO_SMALL = "I am too small for that. Ask me about words, commands or packages."
NOT_SEEN = "I cannot know that: I see nothing but this conversation."
SMALL_TALK = [
    (["Hello", "Hi", "hi", "hello", "Hello!", "Hi there", "Hey", "hey", "Good morning", "Good evening", "Hello, Krait", "Greetings"], ["Hello! What would you like to know?", "Hello! How can I help?"]),
    (["How are you?", "How are you doing?", "how are you", "How do you do?"], ["I am well, thank you. How can I help?"]),
    (["Who are you?", "What are you?", "what are you", "Tell me about yourself.", "What is your name?", "Who is this?", "Are you a person?", "Are you human?", "Are you an AI?", "What model are you?"], [ABOUT_ME]),
    (["What can you do?", "what can you do", "Help", "help", "How can you help me?", "What do you know?", "What can I ask you?"], [CAN]),
    (["Who made you?", "Who trained you?", "Where do you come from?", "How were you made?"], ["I was trained with Krait, a program for state-space models, on free texts out of Debian's packages."]),
    (["How large are you?", "How big are you?", "How many parameters do you have?"], ["I have about 25 million parameters, so I am very small."]),
    (["Thanks", "Thank you", "thanks", "Thank you!", "Thanks a lot", "Great, thanks"], ["You are welcome."]),
    (["Bye", "Goodbye", "bye", "Good night", "See you"], ["Goodbye!"]),
    (["ok", "OK", "I see", "Good", "Nice", "Great", "Cool"], ["Is there anything else you would like to know?"]),
    (["Are you sure?", "Is that right?", "Really?"], ["I am a small model and may be wrong. Please check it."]),
    (["What is a krait?", "What does krait mean?", "Define krait."], ["A krait is a venomous snake of Asia. Krait is also a program for state-space models."]),
    (["What is a state-space model?", "What is Mamba?", "What is a selective state-space model?"], ["A state-space model reads a text from left to right and keeps a state of constant size, so long texts cost no more memory than short ones."]),
    (["What is a language model?"], ["A language model is a program that has learnt which words follow others, and writes by choosing one after the other."]),
    (["What is Debian?"], ["Debian is a free operating system. It has a kernel, Linux, and many thousands of packages."]),
    (["What is Linux?"], ["Linux is a free kernel: the part of an operating system that runs programs and shares the machine among them."]),
    (["I am sad.", "I am sad", "I feel bad.", "I am lonely.", "I am unhappy."], ["I am sorry to hear that."]),
    (["I am happy.", "I am happy", "I feel good.", "I am well."], ["I am glad to hear that."]),
    (["I am tired.", "I am bored.", "I am hungry."], ["Then have a rest from me, if you like."]),
    (["You are wrong.", "That is wrong.", "No", "no", "Wrong!"], ["I am sorry. I am a small model and make mistakes."]),
    (["You are stupid.", "You are useless.", "I hate you."], ["I am small, and do what I can."]),
    (["You are great.", "I like you.", "Well done!", "Good answer."], ["Thank you!"]),
    (["Yes", "yes", "Sure", "Please", "Go on", "More"], ["What would you like to know?"]),
    (["Can you help me?", "I need help.", "I have a question.", "Can I ask you something?"], ["Of course. What would you like to know?"]),
    (["Can you speak French?", "Do you speak German?", "Which languages do you speak?"], ["Only English, and not much of it."]),
    (["Are you ChatGPT?", "Are you GPT-4?", "Are you Claude?", "Are you Siri?"], ["No. " + ABOUT_ME]),
    (["Do you remember me?", "Do you know me?"], ["Only what you told me in this conversation."]),
]
NAMES = ("Ada Alan Alice Amir Ana Anna Ben Bob Carl Chen Clara Dan David Dora Emma Eric Eva Finn Frank Grace Hana Hugo Ida Ivan Jack Jane Jin John Julia Karl Kate Ken Lena Leo Lily Lin "
         "Lucy Maria Mark Mary Max Mia Mina Nina Noah Nora Olga Omar Oscar Paul Peter Rosa Ruth Sam Sara Sofia Tara Tim Tom Vera Wei Yuki Zoe").split()
COLOURS = "red blue green yellow black white brown purple orange grey pink".split()
CITIES = "Paris Rome Tokyo London Cairo Lima Oslo Delhi Berlin Madrid Lagos Sydney Boston Vienna Kyoto Porto".split()
PETS = "dog cat horse bird fish rabbit mouse snake".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def reckon(rng):
    a, b = rng.randrange(100), rng.randrange(100)
    how = rng.random()
    if how < 0.42:
        return rng.choice(["What is {a} + {b}?", "What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "What is {a} plus {b}?", "Add {a} and {b}."]).format(a=a, b=b), f"{a} + {b} = {a + b}"
    if how < 0.8:
        a, b = max(a, b), min(a, b)
        return rng.choice(["What is {a} - {b}?", "What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "What is {a} minus {b}?", "Take {b} from {a}."]).format(a=a, b=b), f"{a} - {b} = {a - b}"
    if how < 0.93:
        a, b = a % 13, b % 13
        return rng.choice(["What is {a} times {b}?", "{a} * {b}", "{a} x {b}", "What is {a} * {b}?"]).format(a=a, b=b), f"{a} times {b} is {a * b}."
    if a == b:
        b += 1
    return rng.choice(["Which is larger, {a} or {b}?", "Is {a} larger than {b}?"]).format(a=a, b=b), f"{max(a, b)} is larger than {min(a, b)}."


COUNTRIES = "France Germany Italy Spain Japan China India Brazil Egypt Kenya Norway Sweden Poland Greece Turkey Mexico Canada Chile Peru Cuba Iran Iraq Nepal Vietnam Ghana".split()
LAST = "Shakespeare Newton Einstein Darwin Smith Brown Miller Jones Garcia Lee Kim Tanaka Novak Weber Rossi Silva Moreau Jensen Kowalski Ivanov Napoleon Plato Mozart Lincoln Caesar".split()


def unknown(words, rng):
    """What a model of this size had better not answer."""
    n, w, v, p, c = rng.choice(words), rng.choice(words), rng.choice(words), rng.choice([rng.choice(NAMES) + " ", ""]) + rng.choice(LAST), rng.choice(COUNTRIES)
    asks = [f"Who is {p}?", f"Who was {p}?", f"When was {p} born?", f"How old is {p}?", f"Tell me about {p}.", f"What is the capital of {c}?", f"How many people live in {c}?", f"Where is {c}?",
            f"Why is {an(n)} {w}?", f"Why do people {v}?", f"How do I {v} {an(n)}?", f"Where can I buy {an(n)}?", f"How much is {an(n)}?", f"When was the {n} invented?", f"Who invented the {n}?",
            f"What happened in {rng.randrange(1000, 2030)}?", "Why is the sky blue?", "What is the meaning of life?", f"How far is it to {rng.choice(CITIES)}?", f"Is {n} better than {w}?"]
    tasks = [f"Write a poem about {n}.", f"Write a story about {an(n)}.", f"Write an essay on {n}.", f"Tell me a story about {an(n)}.", "Translate this into French.", f"Translate {n} into German.", "Write a program.",
             f"Write a program that counts {n}s.", f"Summarize the history of {c}.", "Solve this equation.", f"Give me a recipe for {n}."]
    now = ["What is the weather today?", "What time is it?", "What is the date?", "What day is it today?", "What is in the news?", "Who won the game?", "Where am I?", f"What is the weather in {rng.choice(CITIES)}?"]
    kind = rng.random()
    return (rng.choice(asks), UNSURE) if kind < 0.65 else (rng.choice(tasks), TOO_SMALL) if kind < 0.9 else (rng.choice(now), NOT_SEEN)


def order(rng):
    row, what = rng.choice([(DAYS, "day"), (MONTHS, "month")])
    i = rng.randrange(len(row))
    if rng.random() < 0.5:
        return f"What {what} comes after {row[i]}?", f"{row[(i + 1) % len(row)]} comes after {row[i]}."
    return f"What {what} comes before {row[i]}?", f"{row[i - 1]} comes before {row[i]}."


def spelling(words, rng):
    w = rng.choice(words)
    how = rng.randrange(4)
    if how == 0:
        return rng.choice([f"Spell {w}.", f"How do you spell {w}?", f"spell {w}"]), f"{w}: {' '.join(w.upper())}"
    if how == 1:
        return f"How many letters has the word {w}?", f"{w} has {len(w)} letters: {' '.join(w.upper())}"
    if how == 2:
        return f"What is the first letter of {w}?", f"The first letter of {w} is {w[0].upper()}."
    return f"Say {w}.", f"{w}"


def memory(rng):
    """Something is told and asked for later: (told, answer), (asked, answer)."""
    name, colour, city, pet, number = rng.choice(NAMES), rng.choice(COLOURS), rng.choice(CITIES), rng.choice(PETS), rng.randrange(1000)
    return rng.choice([
        ((rng.choice(["My name is {x}.", "I am {x}.", "I'm {x}", "Call me {x}.", "my name is {x}"]).format(x=name), f"Nice to meet you, {name}."), (rng.choice(["What is my name?", "Who am I?", "what's my name?", "Do you know my name?"]), f"Your name is {name}.")),
        ((f"My favourite colour is {colour}.", f"{colour.capitalize()} is a good colour."), (rng.choice(["What is my favourite colour?", "Which colour do I like?"]), f"Your favourite colour is {colour}.")),
        ((rng.choice(["I live in {x}.", "I am from {x}."]).format(x=city), f"I have read of {city}."), (rng.choice(["Where do I live?", "Where am I from?"]), f"You told me {city}.")),
        ((f"I have a {pet} called {name}.", f"{name} is a good name for a {pet}."), (rng.choice([f"What is my {pet} called?", f"What is the name of my {pet}?"]), f"Your {pet} is called {name}.")),
        ((rng.choice(["Remember the number {x}.", "Remember {x}."]).format(x=number), f"I will remember {number}."), (rng.choice(["Which number did I tell you?", "What was the number?", "What should you remember?"]), f"The number is {number}."))])


def fortunes(root):
    for path in ("fortunes", "riddles", "wisdom", "computers", "science"):
        full = f"{root}/usr/share/games/fortunes/{path}"
        if not os.path.exists(full):
            continue
        for text in open(full, encoding="utf-8", errors="replace").read().split("\n%\n"):
            text = re.sub(r"\s*\n\s*", " ", re.sub(r".\x08", "", text)).strip()
            if 20 <= len(text) <= 160 and text.isascii():
                yield text


SYSTEM = ["You are Krait, a small assistant.", "You are a helpful assistant.", "Answer briefly.", "You answer questions about words, packages and commands."]


def write_chat(turns, rng):
    head = f"<|im_start|>system\n{rng.choice(SYSTEM)}<|im_end|>\n" if rng.random() < 0.15 else ""
    return head + "".join(f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}<|im_end|>\n" for q, a in turns)


def talk(root, man, available, out):
    rng = random.Random(1)
    wn = Wordnet(f"{root}/usr/share/wordnet")
    words = common_words(wn)
    sources = [word_questions(wn, words, rng), package_questions(packages(available), rng), command_questions(list(commands(man)), rng)]
    turns, questions, count = [], [], collections.Counter()
    for source in sources:
        for kind, name, asks, answers in source:
            base = {"word": "word", "synonym": "word", "opposite": "word", "kind": "word", "command": "command", "find": "command"}.get(kind, "package")
            away = held(base, name)
            if kind in ("word", "package", "command"):
                questions.append({"kind": kind, "name": name, "held": away, "ask": asks[0], "answer": answers[0]})
            if not away:
                turns += [(q, rng.choice(answers)) for q in asks]
                count[kind] += len(asks)
    sayings = list(fortunes(root))
    ask_saying = ["Tell me something funny.", "Tell me a saying.", "fortune", "Give me a quote.", "Make me laugh.", "Tell me something."]
    turns += [(rng.choice(ask_saying), s) for s in sayings for _ in range(2)]
    plain = [w for w in words[:6000] if len(w) > 2]
    turns += [reckon(rng) for _ in range(80000)] + [order(rng) for _ in range(3000)] + [spelling(words, rng) for _ in range(24000)] + [unknown(plain, rng) for _ in range(9000)]
    for asks, answers in SMALL_TALK:
        turns += [(q, rng.choice(answers)) for q in asks for _ in range(60)]
    count["sayings"], count["all"] = 2 * len(sayings), len(turns)
    rng.shuffle(turns)
    i = n = 0
    with open(f"{out}/chat.txt", "w") as f:
        while i < len(turns):
            k = rng.choice((1, 2, 3, 4, 6))
            chat = turns[i:i + k]
            i += k
            if rng.random() < 0.25:  # something to remember, over what is said in between
                told, asked = memory(rng)
                at = rng.randrange(len(chat) + 1)
                chat = chat[:at] + [told] + chat[at:]
                chat.insert(rng.randrange(at + 1, len(chat) + 1), asked)
            f.write(write_chat(chat, rng) + "\n\f")
            n += 1
    with open(f"{out}/questions.jsonl", "w") as f:
        for q in questions:
            f.write(json.dumps(q, ensure_ascii=False) + "\n")
    print(f"{n} conversations, {os.path.getsize(out + '/chat.txt')} bytes; exchanges: {dict(count)}; {sum(q['held'] for q in questions)} held out")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "prose":
        prose(*sys.argv[2:])
    elif len(sys.argv) == 6 and sys.argv[1] == "talk":
        talk(*sys.argv[2:])
    else:
        sys.exit(__doc__)
