#!/usr/bin/env python3
"""chart.py - bits per byte over bytes read, of several runs, as one SVG.

    chart.py OUT.svg NAME=RUN ...      RUN is a folder with metrics.jsonl

Thin lines are the training loss, averaged over its neighbours; marks are held-out text.  No background, and colours
that read on light and on dark pages.
"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 800, 450, 56, 16, 34, 46
COLOURS = ["#3b82c4", "#d97706", "#4d9a4d", "#b0589b", "#8a6d3b", "#6b7280"]


def read(folder):
    train, held = [], []
    for line in open(f"{folder}/metrics.jsonl"):
        m = json.loads(line)
        if "bits_per_byte" in m:
            held.append((m["n_tok"] / 1e6, m["bits_per_byte"]))
        elif "loss" in m:
            train.append((m["n_tok"] / 1e6, m["loss"] / math.log(2)))
    n = max(1, len(train) // 60)
    smooth = [(x, sum(v for _, v in train[max(0, i - n):i + 1]) / len(train[max(0, i - n):i + 1])) for i, (x, _) in enumerate(train)]
    return smooth, held


def ticks(lo, hi, n):
    step = 10 ** math.floor(math.log10((hi - lo) / n))
    step *= next(k for k in (1, 2, 5, 10) if (hi - lo) / (k * step) <= n)
    first = math.ceil(lo / step - 1e-9)
    return [i * step for i in range(first, math.floor(hi / step + 1e-9) + 1)]


def main():
    out, runs = sys.argv[1], [a.split("=", 1) for a in sys.argv[2:]]
    series = [(name, *read(folder)) for name, folder in runs]
    held = [p for _, _, h in series for p in h]
    x1 = max(x for x, _ in held)
    low = min(y for _, y in held)
    high = min(max(y for _, y in held), low + 0.9)
    low = min([low] + [y for _, t, _ in series for _, y in t])
    y0, y1 = math.floor(low * 20 - 0.2) / 20, math.ceil(high * 20) / 20
    px = lambda x: LEFT + x / x1 * (WIDTH - LEFT - RIGHT)
    py = lambda y: TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="#808080">',
           f'<text x="{LEFT}" y="20" font-size="15">Bits per byte over bytes read: marks held out, lines training</text>']
    for t in ticks(y0, y1, 8):
        svg.append(f'<path d="M{LEFT} {py(t):.1f}H{WIDTH - RIGHT}" stroke="#808080" stroke-opacity=".25"/>'
                   f'<text x="{LEFT - 6}" y="{py(t) + 4:.1f}" text-anchor="end">{t:.4g}</text>')
    for t in ticks(0, x1, 8):
        svg.append(f'<text x="{px(t):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{t:g}</text>')
    svg.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">million bytes</text>')
    for i, (name, train, marks) in enumerate(series):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in train if y <= y1 and x <= x1)
        dots = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in marks if y <= y1)
        svg.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-opacity=".45"/>'
                   f'<polyline points="{dots}" fill="none" stroke="{colour}" stroke-width="2"/>')
        svg += [f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3.5" fill="{colour}"/>' for p in dots.split()]
        y = TOP + 14 + 20 * i
        svg.append(f'<path d="M{WIDTH - 262} {y - 4}h24" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{WIDTH - 232}" y="{y}">{name}: {marks[-1][1]:.3f} at the end</text>')
    open(out, "w").write("\n".join(svg) + "\n</svg>\n")


main()
