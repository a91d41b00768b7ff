#!/usr/bin/env python3
"""plain_text.py - makes one corpus of English out of unpacked Debian packages.

    plain_text.py ROOT NOVELS OUT

ROOT is where get-text.sh unpacked the packages, NOVELS holds Jane Austen's as .txt.  OUT gets train.txt and
held-out.txt: documents with a form feed between them.  One document in a hundred is held out, chosen by a hash of
its name.  A paragraph that was there before, whatever the document, is left out: so no page header, no licence and
no copied example is learnt by heart, and nothing of the training text stands in the held-out one.
"""
import glob
import gzip
import hashlib
import html.parser
import os
import re
import struct
import sys
import zlib

DOCUMENT = 48 << 10  # bytes: dictionaries and commentaries are cut into documents of about this size


def read(path):
    data = open(path, "rb").read()
    if path.endswith((".gz", ".dz")):
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


class Html(html.parser.HTMLParser):
    """The text of a page: its paragraphs, without navigation, scripts and the like."""
    BLOCK = {"p", "div", "br", "tr", "li", "dt", "dd", "pre", "table", "ul", "ol", "dl", "section", "blockquote", "title",
             "h1", "h2", "h3", "h4", "h5", "h6", "reference", "lb", "l"}
    SKIP = {"script", "style", "head", "nav", "footer", "header", "form", "select", "note", "reference"}
    OMIT = {"navheader", "navfooter", "toc", "related", "sphinxsidebar", "footer", "headerlink", "toplang", "bottomlang",
            "nosearch", "menu", "comments_section", "tabofcontents"}
    VOID = {"br", "hr", "img", "input", "link", "meta", "col", "area", "base", "wbr"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.skip, self.stack, self.pre = [], 0, [], 0

    def handle_starttag(self, tag, attrs):
        if tag in self.BLOCK:
            self.out.append("\n" if tag in ("br", "tr", "lb", "l") else "\n\n")
        if tag in self.VOID:
            return
        a = dict(attrs)
        names = set((a.get("class") or "").split()) | {a.get("id") or ""}
        hide = tag in self.SKIP or bool(names & self.OMIT)
        self.stack.append((tag, hide))
        self.skip += hide
        self.pre += tag == "pre"

    def handle_endtag(self, tag):
        if not any(t == tag for t, _ in self.stack):
            return
        while self.stack:
            t, hide = self.stack.pop()
            self.skip -= hide
            self.pre -= t == "pre"
            if t == tag:
                break
        if tag in self.BLOCK:
            self.out.append("\n\n")

    def handle_data(self, data):
        if not self.skip:
            self.out.append(data if self.pre else re.sub(r"\s+", " ", data))


def from_html(text):
    h = Html()
    h.feed(text)
    return "".join(h.out)


def pieces(text, end):
    """Cuts a long text after `end` into documents of about DOCUMENT bytes."""
    at = 0
    while at < len(text):
        to = text.find(end, at + DOCUMENT)
        to = len(text) if to < 0 else to + len(end)
        yield text[at:to]
        at = to


def files(root, pattern, without=None):
    for p in sorted(glob.glob(os.path.join(root, pattern), recursive=True)):
        if os.path.isfile(p) and not os.path.islink(p) and not (without and re.search(without, p)):
            yield p


def pages(root, pattern, convert=lambda t: t, without=None):
    for p in files(root, pattern, without):
        yield os.path.relpath(p, root), convert(read(p))


def dictionary(root, name):
    """dictd's format: entries follow one another; a header of 00-database entries comes first."""
    text = read(f"{root}/usr/share/dictd/{name}.dict.dz")
    for i, piece in enumerate(pieces(text, "\n\n")):
        yield f"{name}/{i}", piece


def sword(root, path):
    """A compressed text of the SWORD project: blocks of zlib, named by (offset, size, size when unpacked)."""
    for part in ("ot", "nt"):
        for kind in "bc":
            base = f"{root}/usr/share/sword/modules/{path}/{part}.{kind}z"
            if not os.path.exists(base + "s"):
                continue
            index, data = open(base + "s", "rb").read(), open(base + "z", "rb").read()
            blocks = [zlib.decompress(data[at:at + n]) for at, n, _ in struct.iter_unpack("<III", index) if n]
            text = b"\n".join(blocks).decode("utf-8", "replace")
            text = from_html(re.sub(r"<(verse|chapter|milestone|w|/w)\b[^>]*>", " ", text))
            text = re.sub(r" +([.,;:?!)])", r"\1", re.sub(r"  +", " ", text))
            for i, piece in enumerate(pieces(text, "\n")):
                yield f"{path}/{part}/{i}", piece


def novels(folder):
    for p in files(folder, "*.txt"):
        for i, chapter in enumerate(re.split(r"(?m)^(?=\s*CHAPTER)", read(p))):
            yield f"{os.path.basename(p)}/{i}", chapter


def all_documents(root, austen):
    doc = root + "/usr/share/doc"
    yield "austen", novels(austen)
    for name in ("texts/ztext/engWEB2015eb", "comments/zcom/tdavid", "comments/zcom/mhcc"):
        yield name.split("/")[-1], sword(root, name)
    yield "anarchism", pages(f"{doc}/anarchism/markdown", "*.md*", lambda t: re.sub(r"\]\([^)]*\)", "]", t))
    for name in ("foldoc", "jargon", "devil"):
        yield name, dictionary(root, name)
    yield "debian-handbook", pages(f"{doc}/debian-handbook/html/en-US", "*.html", from_html)
    yield "debian-reference", pages(f"{root}/usr/share/debian-reference", "*.en.html", from_html)
    yield "debian-faq", pages(f"{doc}/debian/FAQ", "*.en.html", from_html)
    yield "developers-reference", pages(f"{root}/usr/share/developers-reference", "*.html", from_html)
    yield "postgresql", pages(f"{doc}/postgresql-doc-15/html", "*.html", from_html)
    yield "sqlite3", pages(f"{doc}/sqlite3", "**/*.html", from_html)
    yield "apache2", pages(f"{doc}/apache2-doc/manual/en", "**/*.html", from_html)
    yield "django", pages(f"{doc}/python-django-doc/html", "**/*.html", from_html, r"genindex|_modules|py-modindex|search")
    yield "git", pages(f"{doc}/git-doc", "**/*.txt*")
    yield "python", pages(f"{doc}/python3.11/html/_sources", "**/*.txt")
    yield "linux", pages(f"{doc}/linux-doc-6.1/Documentation", "**/*.rst.gz", without=r"/translations/")


def tidy(text, seen):
    """Paragraphs that are new and mostly letters; single characters of typography become ASCII."""
    for a, b in (("\r", ""), ("\f", ""), ("\u00a0", " "), ("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"'),
                 ("\u2013", "-"), ("\u2014", "--"), ("\u2026", "..."), ("\u00ad", ""), ("\u200b", ""), ("\u00b6", "")):
        text = text.replace(a, b)
    kept = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        paragraph = "\n".join(line.rstrip() for line in paragraph.strip("\n").split("\n")).rstrip()
        if len(paragraph) < 3:
            continue
        key = hashlib.blake2b(re.sub(r"\W+", " ", paragraph).lower().encode(), digest_size=8).digest()
        if len(paragraph) >= 24 and key in seen:
            continue
        letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in paragraph)
        if letters < 0.55 * len(paragraph) or sum(not c.isascii() for c in paragraph) > 0.04 * len(paragraph) + 4:
            continue
        seen.add(key)
        kept.append(paragraph)
    return "\n\n".join(kept)


def main():
    root, austen, out = sys.argv[1:4]
    seen, total = set(), {}
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/train.txt", "wb") as train, open(f"{out}/held-out.txt", "wb") as held:
        for source, documents in all_documents(root, austen):
            n = [0, 0, 0, 0]
            for name, text in documents:
                text = tidy(text, seen).encode()
                if len(text) < 400:
                    continue
                hold = hashlib.blake2b(f"{source}/{name}".encode(), digest_size=8).digest()[0:2] < b"\x02\x8f"
                (held if hold else train).write(text + b"\n\f")
                n[hold] += 1
                n[2 + hold] += len(text) + 1
            total[source] = n
            print(f"{source:22} {n[0]:6} documents {n[2]:10} bytes; held out {n[1]:4} documents {n[3]:8} bytes", flush=True)
    s = [sum(v[i] for v in total.values()) for i in range(4)]
    print(f"{'all':22} {s[0]:6} documents {s[2]:10} bytes; held out {s[1]:4} documents {s[3]:8} bytes")


if __name__ == "__main__":
    main()
