// markdown.js - the part of Markdown that models write, drawn as elements.
//
// A model's text is nobody's friend: it becomes text nodes only, HTML in it stays text, a link goes to http(s) and is never followed
// by the page itself, a picture becomes a link. Every piece of text that is drawn knows where in the source it came
// from, so that tokens can be found again in the drawn text (see probabilities.js).

import { el } from "./dom.js";

const DEPTH = 8; // lists in quotes in lists: more is drawn flat

// --- blocks ------------------------------------------------------------------------------------
// A line is [from, to), places in the source, without its end. A block is { kind, lines, ... }.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+|$)/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|(\d{1,9})[.)])( {1,4}|$)/;
const DASHES = /^:?-+:?$/;

function linesOf(source) {
    const lines = [];
    for (let from = 0; from <= source.length;) {
        let to = source.indexOf("\n", from);
        if (to < 0) to = source.length;
        lines.push([from, to]);
        from = to + 1;
    }
    return lines;
}

/** Cuts lines into blocks; `text` gives a line's text. */
function blocksOf(lines, text) {
    const blocks = [];
    for (let i = 0; i < lines.length;) {
        if (!text(lines[i]).trim()) { i++; continue; }
        const read = [fence, heading, rule, quote, list, table, paragraph].find((reader) => reader.starts(lines, i, text));
        const block = read(lines, i, text);
        block.from = lines[i][0];
        i += block.used;
        block.to = lines[i - 1][1];
        blocks.push(block);
    }
    return blocks;
}

function fence(lines, i, text) {
    const [, mark, language] = opening(text(lines[i]));
    const end = new RegExp("^ {0,3}" + mark[0] + "{" + mark.length + ",}\\s*$");
    let last = i + 1;
    while (last < lines.length && !end.test(text(lines[last]))) last++;
    return { kind: "code", language, lines: lines.slice(i + 1, last), used: Math.min(last + 1, lines.length) - i };
}
fence.starts = (lines, i, text) => opening(text(lines[i])) !== null;

/** [whole, mark, language] of a line that opens a block of code: no "`" stands behind the mark. */
function opening(line) {
    const found = FENCE.exec(line), rest = found && line.slice(found[0].length);
    if (!found || rest.includes("`")) return null;
    return [...found, /^\S{0,40}/.exec(rest.trimStart())[0]];
}

function heading(lines, i, text) {
    const line = text(lines[i]), mark = HEADING.exec(line);
    const inner = line.slice(mark[0].length).trimEnd();
    let n = inner.length;
    while (n > 0 && inner[n - 1] === "#") n--;
    const from = lines[i][0] + mark[0].length;
    return { kind: "heading", level: mark[1].length, lines: [[from, from + inner.slice(0, n).trimEnd().length]], used: 1 };
}
heading.starts = (lines, i, text) => HEADING.test(text(lines[i]));

function rule() {
    return { kind: "rule", lines: [], used: 1 };
}
rule.starts = (lines, i, text) => RULE.test(text(lines[i]));

function quote(lines, i, text) {
    const inner = [];
    let n = i;
    for (; n < lines.length && QUOTE.test(text(lines[n])); n++)
        inner.push([lines[n][0] + QUOTE.exec(text(lines[n]))[0].length, lines[n][1]]);
    return { kind: "quote", lines: inner, used: n - i };
}
quote.starts = (lines, i, text) => QUOTE.test(text(lines[i]));

const indentOf = (line) => /^ */.exec(line)[0].length;

function list(lines, i, text) {
    const first = ITEM.exec(text(lines[i])), ordered = first[3] !== undefined;
    const same = (mark) => mark && (mark[3] !== undefined) === ordered;
    const items = [];
    let n = i, inner = 0;
    for (; n < lines.length; n++) {
        const line = text(lines[n]), mark = ITEM.exec(line);
        const within = items.length > 0 && line.trim() && indentOf(line) >= Math.min(inner, 4) && indentOf(line) >= 2;
        if (!within && same(mark) && !RULE.test(line)) {
            inner = mark[0].length;
            items.push([[lines[n][0] + inner, lines[n][1]]]);
        } else if (within) items.at(-1).push([lines[n][0] + Math.min(indentOf(line), inner), lines[n][1]]);
        else if (!line.trim() && continues(lines, n, text, same, inner)) items.at(-1).push(lines[n]);
        else if (line.trim() && text(lines[n - 1]).trim() && !startsBlock(lines, n, text)) items.at(-1).push(lines[n]);
        else break;
    }
    return { kind: "list", ordered, start: ordered ? Number(first[3]) : 1, items, lines: [], used: n - i };
}
list.starts = (lines, i, text) => ITEM.test(text(lines[i]));

/** Does the list go on after a blank line? */
function continues(lines, n, text, same, inner) {
    while (n < lines.length && !text(lines[n]).trim()) n++;
    return n < lines.length && (same(ITEM.exec(text(lines[n]))) || indentOf(text(lines[n])) >= Math.max(2, Math.min(inner, 4)));
}

function table(lines, i, text) {
    let n = i + 2;
    while (n < lines.length && text(lines[n]).includes("|") && text(lines[n]).trim()) n++;
    const aligns = cells(lines[i + 1], text).map(([a, b]) => alignOf(text([a, b])));
    const rows = [lines[i], ...lines.slice(i + 2, n)].map((line) => cells(line, text).slice(0, aligns.length));
    return { kind: "table", aligns, rows, lines: [], used: n - i };
}
table.starts = (lines, i, text) => text(lines[i]).includes("|") && i + 1 < lines.length && text(lines[i + 1]).includes("|")
    && isDivider(text(lines[i + 1])) && cells(lines[i], text).length === cells(lines[i + 1], text).length;

function isDivider(line) {
    const whole = line.trim(), from = whole.startsWith("|") ? 1 : 0, to = whole.length - (whole.endsWith("|") ? 1 : 0);
    return whole.slice(from, to).split("|").every((cell) => DASHES.test(cell.trim()));
}

function alignOf(dashes) {
    if (/^:-*:$/.test(dashes)) return "center";
    return dashes.endsWith(":") ? "right" : null;
}

function cells(line, text) {
    const whole = text(line), found = [];
    let from = /^\s*\|?/.exec(whole)[0].length;
    for (let i = from; i <= whole.length; i++) {
        if (i < whole.length && (whole[i] !== "|" || whole[i - 1] === "\\")) continue;
        const cell = whole.slice(from, i);
        if (i < whole.length || cell.trim()) {
            const left = cell.length - cell.trimStart().length;
            found.push([line[0] + from + left, line[0] + from + Math.max(left, cell.trimEnd().length)]);
        }
        from = i + 1;
    }
    return found;
}

function startsBlock(lines, n, text) {
    return [fence, heading, rule, quote, list, table].some((reader) => reader.starts(lines, n, text));
}

function paragraph(lines, i, text) {
    let n = i + 1;
    while (n < lines.length && text(lines[n]).trim() && !startsBlock(lines, n, text)) n++;
    const inner = lines.slice(i, n).map(([from, to]) => [from + indentOf(text([from, to])), to]);
    return { kind: "paragraph", lines: inner, used: n - i };
}
paragraph.starts = () => true;

// --- within a line --------------------------------------------------------------------------------

const LINK = /^\[((?:[^[\]\\]|\\.){0,500})\]\(\s*<?(https?:\/\/[^\s<>()"]*(?:\([^\s<>()"]*\)[^\s<>()"]*)*)>?(?:\s+"[^"]{0,200}")?\s*\)/i;
const BARE = /^https?:\/\/[^\s<>"'`]+/i;
const TRAILING = /[.,;:!?)\]}*_~]+$/; // of a sentence rather than of an address
const MARK = /[\\`*_~[!h<]/g;         // where something may begin
const ESCAPED = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}_]/u;

/** Draws source[from, to), which has no line end in it, into `parent`. */
function inline(draw, parent, from, to, depth) {
    const { source } = draw, missing = new Set(); // marks known to have no partner further on
    let plain = from;
    const flush = (end) => { if (end > plain) draw.emit(parent, plain, end); };
    for (let i = from; i < to;) {
        MARK.lastIndex = i;
        const found = MARK.exec(source);
        if (!found || found.index >= to) break;
        i = found.index;
        const piece = depth < DEPTH ? special(draw, i, from, to, depth, missing) : null;
        if (!piece) { i++; continue; }
        flush(i);
        if (piece.node) parent.append(piece.node);
        plain = piece.skip ?? piece.end;
        i = piece.end;
    }
    flush(to);
}

/** What begins at `i`, if anything: { node, end }, or { skip, end } for an escape. */
function special(draw, i, from, to, depth, missing) {
    const c = draw.source[i];
    if (c === "\\") return i + 1 < to && ESCAPED.test(draw.source[i + 1]) ? { skip: i + 1, end: i + 2 } : null;
    if (c === "`") return code(draw, i, to, missing);
    if (c === "[" || c === "!") return link(draw, i, to, depth);
    if (c === "h" || c === "<") return bare(draw, i, from, to);
    return emphasis(draw, i, from, to, depth, missing);
}

function code(draw, i, to, missing) {
    const { source } = draw, ticks = /^`+/.exec(source.slice(i, Math.min(to, i + 64)))[0];
    if (missing.has(ticks)) return null;
    const wall = (n) => source[n - 1] !== "`" && source[n + ticks.length] !== "`";
    let end = source.indexOf(ticks, i + ticks.length);
    while (end >= 0 && end < to && !wall(end)) end = source.indexOf(ticks, end + 1);
    if (end < 0 || end + ticks.length > to) { missing.add(ticks); return null; }
    const node = el("code");
    draw.emit(node, i + ticks.length, end);
    return { node, end: end + ticks.length };
}

function anchor(address) {
    return el("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" });
}

function link(draw, i, to, depth) {
    const picture = draw.source[i] === "!" ? 1 : 0;
    const found = LINK.exec(draw.source.slice(i + picture, Math.min(to, i + 2600)));
    if (!found) return null;
    const node = anchor(found[2]), from = i + picture + 1;
    if (found[1]) inline(draw, node, from, from + found[1].length, depth + 1);
    else node.append(found[2]);
    return { node, end: i + picture + found[0].length };
}

function bare(draw, i, from, to) {
    const { source } = draw, angle = source[i] === "<" ? 1 : 0;
    if (i > from && WORD.test(source[i - 1])) return null;
    const found = BARE.exec(source.slice(i + angle, Math.min(to, i + 2048)));
    if (!found) return null;
    const address = found[0].replace(TRAILING, (tail) => tail.startsWith(")") && found[0].includes("(") ? ")" : "");
    const closed = angle && source[i + 1 + address.length] === ">" ? 1 : 0;
    if (angle && !closed || address.length < 9) return null;
    const node = anchor(address);
    draw.emit(node, i + angle, i + angle + address.length);
    return { node, end: i + angle + address.length + closed };
}

const TAGS = { "*": "em", "_": "em", "**": "strong", "__": "strong", "~~": "del" };

function emphasis(draw, i, from, to, depth, missing) {
    const { source } = draw, c = source[i];
    const mark = source[i + 1] === c && i + 1 < to ? c + c : c, tag = TAGS[mark];
    const inside = i + mark.length;
    if (!tag || missing.has(mark) || inside >= to || /\s/.test(source[inside])) return null;
    if (c === "_" && i > from && WORD.test(source[i - 1])) return null;
    const end = closing(source, mark, inside, to);
    if (end < 0) { missing.add(mark); return null; }
    const node = el(tag);
    inline(draw, node, inside, end, depth + 1);
    return { node, end: end + mark.length };
}

function closing(source, mark, from, to) {
    for (let end = source.indexOf(mark, from + 1); end >= 0 && end + mark.length <= to; end = source.indexOf(mark, end + 1)) {
        const before = source[end - 1], behind = end + mark.length, after = behind < to ? source[behind] : "";
        if (/[\s\\]/.test(before)) continue;
        if (mark.length === 1 && (after === mark || before === mark)) { if (after === mark) end++; continue; }
        if (mark.length === 2 && after === mark[0] && (behind + 1 === to || source[behind + 1] !== mark[0])) end++; // ***both***: the inner one first
        if (mark[0] === "_" && after && WORD.test(after)) continue;
        return end;
    }
    return -1;
}

// --- drawing -----------------------------------------------------------------------------------------

function drawLines(draw, parent, lines, depth) {
    lines.forEach(([from, to], i) => {
        if (i > 0) parent.append(el("br"));
        inline(draw, parent, from, from + draw.source.slice(from, to).trimEnd().length, depth);
    });
    return parent;
}

const DRAWERS = {
    paragraph: (draw, block) => drawLines(draw, el("p"), block.lines, 0),
    heading: (draw, block) => drawLines(draw, el("h" + Math.min(block.level + 2, 6), { class: "h" + block.level }), block.lines, 0),
    rule: () => el("hr"),
    quote: (draw, block, depth) => drawBlocks(draw, el("blockquote"), block.lines, depth + 1),
    list(draw, block, depth) {
        const start = block.ordered && block.start !== 1 ? block.start : null;
        return el(block.ordered ? "ol" : "ul", { start }, block.items.map((lines) => drawItem(draw, lines, depth)));
    },
    table(draw, block) {
        const row = (cell) => (line) => el("tr", {}, line.map((c, i) =>
            drawLines(draw, el(cell, { class: block.aligns[i] }), [c], 0)));
        const [head, ...body] = block.rows;
        return el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Table" },
            el("table", {}, el("thead", {}, row("th")(head)), el("tbody", {}, body.map(row("td")))));
    },
    code(draw, block) {
        const node = el("code");
        for (const [from, to] of block.lines) draw.emit(node, from, Math.min(to + 1, draw.source.length));
        return el("figure", { class: "code" },
            el("figcaption", {}, el("span", {}, block.language || "text"), draw.copy?.(() => node.textContent)),
            el("pre", { tabindex: "0" }, node));
    },
};

/** An item of one paragraph is drawn tight, without a <p>. */
function drawItem(draw, lines, depth) {
    const node = drawBlocks(draw, el("li"), lines, depth + 1);
    if (node.firstElementChild?.tagName === "P") node.firstElementChild.replaceWith(...node.firstElementChild.childNodes);
    return node;
}

function drawBlocks(draw, parent, lines, depth) {
    const text = ([from, to]) => draw.source.slice(from, to);
    const blocks = depth > DEPTH ? [{ kind: "paragraph", lines }] : blocksOf(lines, text);
    parent.append(...blocks.map((block) => DRAWERS[block.kind](draw, block, depth)));
    return parent;
}

/**
 * Draws `source` into `parent`. While a reply grows it is called again and again: blocks that did not change
 * since the last call stay as they are, so the cost of a call is that of the last block.
 * `emit(parent, from, to)` draws a piece of plain text; `copy(text)` makes the button beside a block of code.
 */
export function render(parent, source, { emit = (to, a, b) => to.append(source.slice(a, b)), copy = null } = {}) {
    const draw = { source, emit, copy }, text = ([from, to]) => source.slice(from, to);
    const blocks = blocksOf(linesOf(source), text), old = parent.drawn ?? [];
    let same = 0;
    while (same < old.length - 1 && same < blocks.length - 1 && old[same].kind === blocks[same].kind
        && old[same].from === blocks[same].from && old[same].to === blocks[same].to) same++;
    while (parent.childNodes.length > same) parent.lastChild.remove();
    parent.append(...blocks.slice(same).map((block) => DRAWERS[block.kind](draw, block, 0)));
    parent.drawn = blocks;
}
