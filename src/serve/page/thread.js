// thread.js - the text of a conversation: turns of a chat, or one manuscript that two write.

import { button, byId, count, el, icon, seconds } from "./dom.js";
import { render } from "./markdown.js";
import { emitter } from "./probabilities.js";
import { childrenOf, pathTo } from "./store.js";

const bodies = new WeakMap(); // a node's drawn text: it is kept while the rest is drawn anew

function bodyOf(node, draw) {
    if (!bodies.has(node)) bodies.set(node, draw(node));
    return bodies.get(node);
}

/** The text of a node changed or grew. */
export function redraw(conversation, node) {
    const body = bodies.get(node);
    if (!body) return;
    if (conversation.mode === "chat" && node.role === "model") drawReply(body, node);
    else drawPlain(body, node);
}

function copyButton(text) {
    const done = (control) => {
        control.replaceChildren(icon("done"), el("span", { class: "hidden" }, "Copied"));
        setTimeout(() => control.replaceChildren(icon("copy"), el("span", { class: "hidden" }, "Copy")), 1500);
    };
    return button("copy", "Copy", async (event) => {
        const control = event.currentTarget;
        try {
            await navigator.clipboard.writeText(text());
        } catch {
            copyBySelection(text());
        }
        done(control);
    });
}

/** The clipboard is for secure pages only; a page from another machine by http is none. */
function copyBySelection(text) {
    const area = el("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
}

// --- text ---------------------------------------------------------------------------------------

function drawReply(body, node) {
    render(body, node.text, { emit: emitter(node), copy: copyButton });
    markTokens(body, node);
}

function drawPlain(body, node) {
    body.replaceChildren();
    emitter(node)(body, 0, node.text.length);
    markTokens(body, node);
}

/** A text with tokens can be entered by keyboard; see probabilities.js. */
function markTokens(body, node) {
    if (!node.tokens || body.classList.contains("tokens")) return;
    body.classList.add("tokens");
    body.tabIndex = 0;
    if (body.tagName === "SPAN") return;
    body.setAttribute("role", "group");
    body.setAttribute("aria-label", "Reply; the arrow keys go through its tokens");
}

// --- what can be done with a text -------------------------------------------------------------------

function siblings(app, node, family) {
    const all = family.get(node.parent), at = all.indexOf(node);
    if (all.length < 2) return null;
    const go = (by, name, word) => button(name, word, () => app.show(all[at + by].id, name), { disabled: !all[at + by], "data-go": name });
    return el("span", { class: "siblings", role: "group", "aria-label": "Other tries" },
        go(-1, "left", "Earlier try"), el("span", {}, at + 1 + " of " + all.length), go(1, "right", "Later try"));
}

function actions(app, node, family) {
    const writing = app.run?.node === node, busy = Boolean(app.run);
    if (writing) return [];
    const follows = family.has(node.id), finish = node.stats?.finish, cut = ["length", "stopped", "lost"].includes(finish);
    return [
        cut && !follows && app.current.mode === "chat" && button("go", "Go on", () => app.goOn(node), { disabled: busy }),
        finish === "cut" && !follows && button("go", "Continue where the server stopped", () => app.goOn(node), { disabled: busy, shown: true }),
        node.role === "model" && button("again", "Another try", () => app.again(node), { disabled: busy }),
        button("edit", "Edit", () => app.edit(node), { disabled: busy }),
        follows && button("branch", "Branch from here", () => app.branch(node), { disabled: busy }),
        copyButton(() => node.text),
        button("delete", "Delete this and what follows", () => app.remove(node), { disabled: busy }),
    ];
}

const REASONS = { length: "longest reply reached", stopped: "stopped", lost: "broken off", cut: "the server stopped", content_filter: "withheld" };

function statsOf(node) {
    const { first, rate, tokens, finish } = node.stats ?? {};
    const parts = [
        tokens && count(tokens) + (tokens === 1 ? " token" : " tokens"), rate && rate.toFixed(rate < 10 ? 1 : 0) + " per second",
        first && "first after " + seconds(first), REASONS[finish], node.edited && "edited",
    ].filter(Boolean);
    return parts.length ? el("span", { class: "stats" }, parts.join(" · ")) : null;
}

// --- a chat ------------------------------------------------------------------------------------------

function turn(app, node, family) {
    const who = node.role === "user" ? "You" : app.server.model || "Model";
    const head = el("h2", { class: "hidden" }, who);
    const attributes = { class: "turn " + node.role, "data-node": node.id, id: "node-" + node.id };
    if (app.editing === node) return el("article", attributes, head, editor(app, node));
    const body = bodyOf(node, node.role === "user" ? plainBody : replyBody);
    return el("article", attributes, head, body,
        el("footer", {}, siblings(app, node, family), actions(app, node, family), statsOf(node)));
}

function plainBody(node) {
    const body = el("div", { class: "words" });
    drawPlain(body, node);
    return body;
}

function replyBody(node) {
    const body = el("div", { class: "words prose" });
    drawReply(body, node);
    return body;
}

function editor(app, node) {
    const area = el("textarea", { "aria-label": "Edit", rows: Math.min(12, node.text.split("\n").length + 1) });
    area.value = node.text;
    const save = () => app.edited(node, area.value), leave = () => app.edited(node, null);
    const goesOn = node.role === "user";
    area.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { event.stopPropagation(); leave(); }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
    });
    return el("div", { class: "editor" }, area, el("div", { class: "actions" },
        el("span", { class: "why" }, "The text as it was stays, as another branch."),
        el("button", { type: "button", class: "quiet", onclick: leave }, "Cancel"),
        el("button", { type: "button", class: "strong", onclick: save }, goesOn ? "Send" : "Keep")));
}

// --- a manuscript ---------------------------------------------------------------------------------------

function passageBody(node) {
    const body = el("span", { class: "passage " + node.role, "data-node": node.id, id: "node-" + node.id, tabindex: "0", role: "group" });
    drawPlain(body, node);
    return body;
}

function manuscript(app, path, family) {
    const chosen = path.find((node) => node === app.chosen) ?? path.at(-1);
    const passages = path.map((node) => {
        const body = bodyOf(node, passageBody), what = node.role === "user" ? "Written by you" : "Written by the model";
        body.setAttribute("aria-label", what);
        body.classList.toggle("chosen", node === chosen);
        return body;
    });
    const box = manuscriptOf(passages);
    if (app.editing) return [box, editor(app, app.editing)];
    const parts = [el("span", { class: "who" }, chosen.role === "user" ? "Your words" : "The model’s words"),
        siblings(app, chosen, family), actions(app, chosen, family), statsOf(chosen)];
    return [box, el("footer", { class: "of-passage" }, parts)];
}

/** The box of these passages, the one that is there if it holds them: what is being clicked on must not move. */
function manuscriptOf(passages) {
    const box = byId("thread").querySelector(".manuscript");
    const same = box?.children.length === passages.length && passages.every((passage, i) => box.children[i] === passage);
    return same ? box : el("div", { class: "manuscript" }, passages);
}

function drawManuscript(thread, [box, below]) {
    if (thread.firstChild !== box) thread.replaceChildren(box);
    while (box.nextSibling) box.nextSibling.remove();
    thread.append(below);
}

// --- all of it ---------------------------------------------------------------------------------------------

function beginning(app) {
    const { server, current } = app, chat = current.mode === "chat";
    const mode = (value, word, disabled) => el("label", {}, el("input", { type: "radio", name: "mode", value, disabled,
        checked: current.mode === value, onchange: () => app.setMode(value) }), el("span", {}, word));
    const mark = icon("krait");
    mark.setAttribute("class", "mark");
    mark.setAttribute("viewBox", "0 0 32 32");
    return el("div", { class: "beginning" }, mark,
        el("h2", {}, chat ? "What shall we talk about?" : "How does it begin?"),
        el("p", {}, chat ? "All that is said here is folded into one state" : "All that is written here is folded into one state",
            server.stateBytes ? " of " + server.stateSize + ". It does not grow, however long this gets" : "",
            ", and it can be branched at any point."),
        el("fieldset", { class: "choice" }, el("legend", { class: "hidden" }, "What to do"),
            el("div", {}, mode("chat", "Chat", server.chat === false), mode("completion", "Completion", false))),
        server.chat === false && el("p", { class: "why" }, "This model has no chat template: it continues texts."),
        el("div", { class: "starters" }, (chat ? STARTERS.chat : STARTERS.completion).map((words) =>
            el("button", { type: "button", class: "quiet", onclick: () => app.start(words) }, words))),
        server.cut.length > 0 && [el("p", { class: "why" }, "The server was stopped while it wrote. What the model remembers is kept:"),
            el("div", { class: "starters" }, server.cut.map((state) => el("button", { type: "button", class: "quiet", onclick: () => app.goOnFrom(state) },
                "Continue where the server stopped", el("span", { class: "why" }, " · " + count(state.n_tokens) + " tokens, " + ago(state.created)))))]);
}

/** "3 minutes ago", of seconds since 1970. */
function ago(then) {
    const minutes = Math.max(0, Math.round((Date.now() / 1000 - then) / 60)), said = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
    if (minutes < 60) return minutes ? said.format(-minutes, "minute") : "just now";
    return minutes < 2880 ? said.format(-Math.round(minutes / 60), "hour") : said.format(-Math.round(minutes / 1440), "day");
}

const STARTERS = {
    chat: ["Explain a state space model to a gardener.", "Write a limerick about a snake that never forgets.", "What should I ask you first?"],
    completion: ["Once upon a time, there was a little", "The most surprising thing about snakes is", "Dear diary,\n"],
};

export function drawThread(app) {
    const { current } = app, path = pathTo(current, current.leaf), family = childrenOf(current), thread = byId("thread");
    thread.className = current.mode;
    if (!path.length) thread.replaceChildren(beginning(app));
    else if (current.mode === "chat") thread.replaceChildren(...path.map((node) => turn(app, node, family)));
    else drawManuscript(thread, manuscript(app, path, family));
    for (const node of path) bodies.get(node)?.classList.toggle("writing", app.run?.node === node);
}
