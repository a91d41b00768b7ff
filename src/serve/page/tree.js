// tree.js - the conversation as a tree: one row a node, drawn like the history of a repository.
//
// The first child goes on in its parent's lane, every further child opens a lane of its own to the right, so lines
// never cross a text. The rows are a tree for those who listen, too, and the arrow keys move in it.

import { el, svg } from "./dom.js";
import { childrenOf, pathTo } from "./store.js";

const ROW = matchMedia("(pointer: coarse)").matches ? 38 : 30, LANE = 16, LEFT = 13; // pixels

/** Rows from the top: { node, lane, parent (row), level, first, index, of }. The start is a row without a node. */
function layOut(conversation) {
    const children = childrenOf(conversation), rows = [];
    let lanes = 1;
    const todo = [{ node: null, lane: 0, parent: null, level: 1, index: 1, of: 1 }];
    while (todo.length) {
        const row = todo.pop();
        row.at = rows.length;
        rows.push(row);
        const next = (children.get(row.node?.id ?? null) ?? []).map((node, i, all) => ({
            node, parent: row, level: row.level + 1, index: i + 1, of: all.length, lane: i === 0 ? row.lane : lanes++,
        }));
        todo.push(...next.reverse());
    }
    return { rows, lanes };
}

const words = (text) => text.trim().replace(/\s+/g, " ").slice(0, 90) || "…";

function labelOf(row, conversation) {
    if (!row.node) return conversation.mode === "chat" && conversation.system ? "Start: " + words(conversation.system) : "Start";
    return words(row.node.text);
}

function edge(row, pitch) {
    const x = LEFT + row.lane * pitch, y = row.at * ROW + ROW / 2;
    const px = LEFT + row.parent.lane * pitch, py = row.parent.at * ROW + ROW / 2;
    if (x === px) return `M${px} ${py}V${y}`;
    return `M${px} ${py}C${px} ${py + ROW * 0.7} ${x} ${py + ROW * 0.3} ${x} ${py + ROW}V${y}`;
}

function drawing({ rows, lanes }, pitch, on) {
    const edges = rows.filter((row) => row.parent).sort((a, b) => on(a) - on(b))
        .map((row) => svg("path", { d: edge(row, pitch), class: on(row) ? "on" : null }));
    const dots = rows.map((row) => svg("circle", {
        cx: LEFT + row.lane * pitch, cy: row.at * ROW + ROW / 2, r: row.node ? 4.2 : 3,
        class: (row.node?.role ?? "start") + (on(row) ? " on" : ""),
    }));
    return svg("svg", { class: "lanes", "aria-hidden": "true", width: LEFT * 2 + (lanes - 1) * pitch, height: rows.length * ROW }, edges, dots);
}

function said(row) {
    if (!row.node) return null;
    const who = row.node.role === "user" ? "You: " : "Model: ";
    return who + (row.of > 1 ? row.index + " of " + row.of + ": " : "");
}

/** Draws the tree into `pane`; `choose(node)` is called with the node of a row. */
export function drawTree(pane, conversation, choose) {
    const laid = layOut(conversation), { rows, lanes } = laid;
    const way = new Set(pathTo(conversation, conversation.leaf).map((node) => node.id));
    const on = (row) => !row.node || way.has(row.node.id);
    const pitch = Math.min(LANE, Math.max(4, 130 / lanes));
    const focused = pane.contains(document.activeElement) ? document.activeElement.dataset.node : null;
    const items = rows.map((row) => el("div", {
        role: "treeitem", class: on(row) ? "on" : null, "data-node": row.node?.id ?? "", "aria-level": row.level,
        "aria-posinset": row.index, "aria-setsize": row.of, tabindex: "-1",
        "aria-selected": String((row.node?.id ?? null) === conversation.leaf),
        onclick: () => choose(row.node),
    }, el("span", { class: "hidden" }, said(row)), el("span", { class: row.node?.role ?? "start" }, labelOf(row, conversation))));
    const tree = el("div", { role: "tree", "aria-label": "Branches of this conversation", onkeydown: (event) => keys(event, rows, items, choose) }, items);
    tree.style.paddingLeft = LEFT * 2 + (lanes - 1) * pitch + "px";
    for (const item of items) item.style.height = ROW + "px";
    pane.replaceChildren(el("div", { class: "graph" }, drawing(laid, pitch, on), tree), summary(laid));
    const here = items[rows.findIndex((row) => (row.node?.id ?? "") === (focused ?? conversation.leaf ?? ""))] ?? items[0];
    here.tabIndex = 0;
    if (focused !== null) here.focus();
    return here;
}

function summary({ lanes, rows }) {
    const states = rows.filter((row) => row.node?.state).length;
    const many = (n, one, more) => n + " " + (n === 1 ? one : more);
    if (rows.length === 1) return el("p", { class: "hint" }, "Every reply can be tried again, edited or continued in another way. The branches appear here.");
    return el("p", { class: "hint" }, many(lanes, "branch", "branches"), ", ", many(rows.length - 1, "text", "texts"),
        states ? ", " + many(states, "state", "states") + " kept on the server." : ".");
}

/** Up and down by rows, left to the parent, right to the first child, as trees do everywhere. */
function keys(event, rows, items, choose) {
    const at = items.indexOf(event.target);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
        ArrowDown: () => at + 1, ArrowUp: () => at - 1, Home: () => 0, End: () => items.length - 1,
        ArrowLeft: () => rows[at].parent?.at, ArrowRight: () => rows.findIndex((row) => row.parent === rows[at]),
    }[event.key]?.();
    if (event.key === "Enter" || event.key === " ") choose(rows[at].node);
    else if (to === undefined) return;
    event.preventDefault();
    if (!items[to]) return;
    items.forEach((item, i) => { item.tabIndex = i === to ? 0 : -1; });
    items[to].focus();
}
