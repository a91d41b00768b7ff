// probabilities.js - how sure the model was of each token: looked at by pointing, tapping or with the arrow keys.

import { byId, el, percent, say } from "./dom.js";

const ends = new WeakMap(); // of a node's tokens: where in its text each one ends

function endsOf(tokens) {
    if (!ends.has(tokens)) ends.set(tokens, []);
    const known = ends.get(tokens);
    for (let i = known.length; i < tokens.length; i++) known.push((known[i - 1] ?? 0) + tokens[i][0]);
    return known;
}

/** The first token that ends behind `place`. */
function tokenAt(known, place) {
    let low = 0, high = known.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (known[middle] > place) high = middle;
        else low = middle + 1;
    }
    return low;
}

/** How unlikely, in four steps: for the tint. */
function step(p) {
    return p >= Math.log(0.8) ? 0 : p >= Math.log(0.4) ? 1 : p >= Math.log(0.1) ? 2 : 3;
}

/** Draws pieces of a node's text so that its tokens can be pointed at. */
export function emitter(node) {
    return (parent, from, to) => {
        const { text, tokens } = node, known = tokens ? endsOf(tokens) : [];
        for (let i = tokenAt(known, from); i < known.length && from < to; i++) {
            const end = Math.min(known[i], to);
            parent.append(el("span", { class: "tok s" + step(tokens[i][1]), "data-token": i }, text.slice(from, end)));
            from = end;
        }
        if (from < to) parent.append(text.slice(from, to));
    };
}

const visible = (text) => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "␣") || "(part of a character)";

/** All that is known of a token: [text, log probability, was it drawn], likeliest first. */
function oddsOf(node, i) {
    const [length, p, others] = node.tokens[i], end = endsOf(node.tokens)[i];
    const text = node.text.slice(end - length, end), rows = [];
    let seen = false;
    for (let k = 0; k < others.length; k += 2) {
        const drawn = !seen && others[k] === text;
        seen ||= drawn;
        rows.push([others[k], others[k + 1], drawn]);
    }
    if (!seen) rows.push([text, p, true]);
    return { text, start: end - length, p, rows: rows.sort((a, b) => b[1] - a[1]) };
}

let shown = null; // { span, pinned }
let soon = null;  // a mouse that rests on a token, not one on its way across

export function hideOdds() {
    clearTimeout(soon);
    if (!shown) return;
    shown.span.classList.remove("current");
    shown = null;
    byId("odds").hidden = true;
}

/** Shows the probabilities at a token; `take(text before, other token)` goes on from there with another one, if that is possible. */
function showOdds(span, node, pinned, take) {
    hideOdds();
    const { text, start, p, rows } = oddsOf(node, Number(span.dataset.token));
    const rest = 1 - rows.reduce((sum, row) => sum + Math.exp(row[1]), 0);
    const line = ([token, q, drawn]) => {
        const inside = [el("span", { class: "what" }, visible(token)), el("span", { class: "odd" }, percent(Math.exp(q))), bar(q)];
        if (drawn || !take || !pinned) return el("div", { class: drawn ? "row drawn" : "row" }, inside);
        return el("button", { type: "button", class: "row", title: "Go on with this instead",
            onclick: () => { hideOdds(); take(node.text.slice(0, start), token); } }, inside);
    };
    const box = byId("odds");
    box.replaceChildren(el("p", {}, el("b", {}, visible(text)), " was ", percent(Math.exp(p)), " likely"),
        ...rows.map(line), rest > 0.001 && el("p", { class: "rest" }, "all others ", percent(rest)) || "",
        take && rows.length > 1 ? el("p", { class: "rest" }, pinned ? "Choose another to branch here." : "Click to choose another.") : "");
    span.classList.add("current");
    shown = { span, pinned };
    box.hidden = false;
    place(box, span);
    if (pinned) say(visible(text) + ", " + percent(Math.exp(p)) + ". " +
        rows.filter((row) => !row[2]).slice(0, 3).map((row) => visible(row[0]) + " " + percent(Math.exp(row[1]))).join(", "));
}

function bar(p) {
    const inside = el("i");
    inside.style.width = Math.max(Math.exp(p) * 100, 0.5) + "%";
    return el("span", { class: "share", "aria-hidden": "true" }, inside);
}

/** Below the token if there is room, else above, and never over the edge. */
function place(box, span) {
    const at = span.getClientRects()[0] ?? span.getBoundingClientRect(), margin = 8;
    const { width, height } = box.getBoundingClientRect();
    const below = at.bottom + margin + height < innerHeight;
    box.style.left = Math.max(margin, Math.min(at.left, innerWidth - width - margin)) + "px";
    box.style.top = Math.max(margin, below ? at.bottom + 6 : at.top - height - 6) + "px";
}

/** Listens on the thread. `nodeOf(element)` is the node drawn there, `takeOf(node)` what choosing another token does. */
export function watch(thread, nodeOf, takeOf) {
    const find = (event) => event.target.closest?.(".tok");
    const show = (span, pinned) => {
        const node = nodeOf(span);
        if (node?.tokens?.[span.dataset.token]) showOdds(span, node, pinned, takeOf(node));
    };
    thread.addEventListener("pointerover", (event) => {
        if (event.pointerType !== "mouse" || shown?.pinned || document.getSelection().type === "Range") return;
        const span = find(event);
        clearTimeout(soon);
        if (span) soon = setTimeout(() => span.isConnected && show(span, false), shown ? 40 : 250);
    });
    thread.addEventListener("pointerout", (event) => {
        clearTimeout(soon);
        if (event.pointerType === "mouse" && !shown?.pinned && !byId("odds").contains(event.relatedTarget)) hideOdds();
    });
    thread.addEventListener("click", (event) => {
        const span = find(event);
        if (!span || document.getSelection().type === "Range" || event.target.closest("a")) return hideOdds();
        if (shown?.pinned && shown.span === span) hideOdds();
        else show(span, true);
    });
    thread.addEventListener("keydown", (event) => walk(event, show));
    document.addEventListener("pointerdown", (event) => {
        if (!byId("odds").contains(event.target) && !find(event)) hideOdds();
    });
    byId("scroll").addEventListener("scroll", hideOdds, { passive: true });
}

/** The arrow keys on a text go from token to token; Enter goes to the others that could have been. */
function walk(event, show) {
    const text = event.target;
    if (!text.matches?.(".tokens") || event.altKey || event.ctrlKey || event.metaKey) return;
    const spans = [...text.querySelectorAll(".tok")], at = shown ? spans.indexOf(shown.span) : -1;
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? spans.length - 1 : at - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (to !== undefined && spans[to]) {
        event.preventDefault();
        spans[to].scrollIntoView({ block: "nearest" });
        show(spans[to], true);
    } else if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        byId("odds").querySelector("button")?.focus();
    }
}

export const oddsShown = () => shown !== null;
