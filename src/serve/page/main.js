// main.js - the page as a whole: what is shown, and what each button and key does.

import { call, json, setKey, Trouble } from "./api.js";
import { button, byId, bytes, count, el, say, seconds } from "./dom.js";
import { clearNotice, notice, toast, wentWell } from "./notice.js";
import { hideOdds, oddsShown, watch } from "./probabilities.js";
import { figuresOf, write } from "./run.js";
import { drawSettings, settingsFrom } from "./settings.js";
import { cutOf, dropAll, takeUp } from "./states.js";
import * as store from "./store.js";
import { drawThread, redraw } from "./thread.js";
import { drawTree } from "./tree.js";

const app = {
    conversations: store.loadAll(),
    current: null,   // the conversation shown
    run: null,       // the reply being written, in whichever conversation
    editing: null,   // the node being edited
    chosen: null,    // the passage of a manuscript that the buttons are for
    settings: settingsFrom(store.loadThing("settings", {})),
    server: { model: "", chat: null, states: false, stateBytes: 0, stateSize: "", maxTokens: Infinity, cut: [] },

    show, again, edit, edited, branch, remove, start, goOn, goOnFrom, setMode,
};
const find = (id) => app.conversations.find((conversation) => conversation.id === id);

// --- the server ---------------------------------------------------------------------------------

/** What runs there: its name, whether it can chat, how large its state is. */
async function meet() {
    try {
        app.server = serverOf(await json("GET", "v1/models"), await ask("props"));
        if (app.server.states) app.server.cut = cutOf(await ask("v1/states?prefix=cut-"), app.conversations);
        if (app.server.chat === false && app.current.mode === "chat" && !app.current.leaf) app.current.mode = "completion";
    } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        if (error.kind === "key") askKey(meet);
        else if (error.kind !== "missing") notice(error, meet);
    }
    draw();
    document.body.dataset.ready = "true"; // for tests
}

/** What a server may not have; then it is empty. */
async function ask(path) {
    try {
        return await json("GET", path);
    } catch (error) {
        if (error.kind !== "missing") throw error;
        return {};
    }
}

function serverOf(models, props) {
    const stateBytes = Number(props.state_bytes) || 0;
    return {
        model: models.data?.[0]?.id ?? "", chat: props.chat_template === undefined ? null : Boolean(props.chat_template),
        states: Boolean(props.named_states), stateBytes, stateSize: bytes(stateBytes),
        maxTokens: Number(props.max_tokens) || Infinity, // more are refused
        cut: [], // states of replies in whose middle it was stopped
    };
}

// --- drawing --------------------------------------------------------------------------------------

function draw() {
    hideOdds();
    const { current } = app;
    byId("title").textContent = current.title || "New conversation";
    document.title = (current.title ? current.title + " · " : "") + "Krait";
    byId("model").textContent = [app.server.model, current.mode === "chat" ? "chat" : "completion"].filter(Boolean).join(" · ");
    drawThread(app);
    drawList();
    drawPanel();
    drawComposer();
    drawFigures();
}

function drawList() {
    const sorted = app.conversations.filter((conversation) => conversation.leaf).sort((a, b) => b.used - a.used);
    byId("list").replaceChildren(...sorted.map((conversation) => el("li", {},
        el("button", { type: "button", class: "quiet entry", "aria-current": conversation === app.current ? "true" : null,
            onclick: () => open(conversation) }, el("span", {}, conversation.title || "Untitled")),
        button("delete", "Delete “" + (conversation.title || "Untitled") + "”", () => forget(conversation)))));
    if (!sorted.length) byId("list").append(el("li", { class: "why" }, "Conversations are kept in this browser, nowhere else."));
    byId("export").disabled = !sorted.length;
}

function drawPanel() {
    if (!byId("pane-tree").hidden) drawTree(byId("pane-tree"), app.current, (node) => show(node?.id ?? null, null));
    else if (!byId("pane-settings").contains(document.activeElement)) drawPaneSettings();
}

function drawPaneSettings() {
    drawSettings(byId("pane-settings"), { settings: app.settings, conversation: app.current, server: app.server, changed, askKey: () => askKey() });
}

function drawComposer() {
    const { current, run } = app, chat = current.mode === "chat", words = byId("words"), send = byId("send");
    words.placeholder = chat ? "Message" : current.leaf ? "Add words, or let it go on" : "Write a beginning";
    byId("words-label").textContent = chat ? "Message" : "Text";
    const word = run ? "Stop" : chat ? "Send" : "Continue";
    send.replaceChildren(...button(run ? "stop" : "send", word, () => {}).childNodes);
    send.title = word;
    send.className = run ? "stop" : "";
    const open = current.leaf && store.childrenOf(current).has(current.leaf);
    byId("from").hidden = !open;
    if (open) byId("from").replaceChildren(el("span", {}, "What you write now begins a new branch."),
        el("button", { type: "button", class: "quiet", onclick: () => show(current.leaf, null) }, "Back"));
}

function drawFigures() {
    const { run, current, server } = app;
    const stats = run?.conversation === current ? figuresOf(run) : current.nodes[current.leaf]?.stats ?? {};
    const figure = (name, value, why) => value && el("div", { title: why }, el("dt", {}, name), el("dd", {}, value));
    byId("figures").replaceChildren(...[
        figure("tokens/s", stats.rate?.toFixed(stats.rate < 10 ? 1 : 0), "Tokens written in a second"),
        figure("first token", stats.first && seconds(stats.first), "From sending to the first token"),
        figure("tokens", stats.tokens && count(stats.tokens), "Tokens written"),
        figure("cached", stats.known && count(stats.known) + " of " + count(stats.prompt), "Tokens of the text that did not have to be read again"),
        figure(stats.held ? "state of " + count(stats.held) + " tokens" : "state", server.stateBytes && server.stateSize, "All that the model remembers; it does not grow with the text"),
    ].filter(Boolean));
}

const scroller = byId("scroll");
let stick = true; // new text is followed until somebody scrolls away from it

function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
}

scroller.addEventListener("scroll", () => {
    stick = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
    byId("to-end").hidden = stick;
}, { passive: true });

// --- writing ----------------------------------------------------------------------------------------

const hooks = {
    begin(run) {
        clearNotice();
        byId("thread").setAttribute("aria-busy", "true");
        say("Writing.");
        stick = true;
        draw();
        toEnd();
        run.clock = setInterval(() => { drawFigures(); keep(run.conversation); }, 1000);
    },
    draw(run) {
        redraw(run.conversation, run.node);
        if (run.conversation !== app.current) return;
        drawFigures();
        if (stick) toEnd();
    },
    end(run) {
        clearInterval(run.clock);
        redraw(run.conversation, run.node);
        byId("thread").removeAttribute("aria-busy");
        keep(run.conversation);
        draw();
        if (stick) toEnd();
    },
};

/** Has the model continue after the node `parent`. */
async function go(conversation, parent, begun = null) {
    if (app.run) return;
    try {
        await write(app, conversation, parent, begun, hooks);
        wentWell();
        say("Done.");
    } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        const node = conversation.nodes[conversation.leaf], finish = node?.stats?.finish, cut = finish === "cut";
        const retry = () => cut ? go(conversation, node.parent, { text: node.text, into: node }) : go(conversation, parent, begun);
        notice(error, retry, { part: cut || finish === "lost", cut, askKey: () => askKey(retry) });
        if (error.kind === "key") askKey(retry);
        if (stick) toEnd();
    }
}

function send() {
    const words = byId("words"), { current } = app, text = current.mode === "chat" ? words.value.trim() : words.value;
    if (app.run || !text && (current.mode === "chat" || !current.leaf)) return;
    words.value = "";
    store.saveThing("draft", "");
    grow();
    if (!app.conversations.includes(current)) app.conversations.push(current);
    store.saveThing("current", current.id);
    const parent = text ? store.addNode(current, current.leaf, "user", text).id : current.leaf;
    keep(current);
    go(current, parent);
}

function start(text) {
    byId("words").value = text;
    send();
}

function stop() {
    app.run?.control.abort();
}

function again(node) {
    go(app.current, node.parent);
}

/** A reply that was cut short is written on. */
function goOn(node) {
    go(app.current, node.parent, { text: node.text, into: node });
}

/** So is one of which the server alone knows how it began. */
async function goOnFrom(state) {
    if (app.run) return;
    try {
        const { conversation, node } = await takeUp(state);
        app.conversations.push(conversation);
        keep(conversation);
        open(conversation);
        goOn(node);
    } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        notice(error, () => goOnFrom(state), { askKey: () => askKey() });
    }
}

function edit(node) {
    app.editing = node;
    draw();
    const area = document.querySelector(".editor textarea");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
}

/** The new text of the node that was edited; null leaves it. An edited text is a new branch beside the old one. */
function edited(node, text) {
    app.editing = null;
    const changed = text !== null && text.trim() !== "" && text !== node.text;
    const made = changed ? store.addNode(app.current, node.parent, node.role, text) : null;
    if (made) { made.edited = true; keep(app.current); }
    draw();
    byId("words").focus();
    if (made?.role === "user") go(app.current, made.id);
}

/** What is written next follows this node, beside what follows it already. */
function branch(node) {
    app.current.leaf = node.id;
    app.chosen = null;
    keep(app.current);
    draw();
    toEnd();
    say("What you write now begins a new branch.");
    byId("words").focus();
}

/** Another token than the one drawn: the text up to it, it, and whatever follows from there. */
function takeOf(node) {
    if (app.run) return null;
    return (before, token) => {
        let length = 0;
        const tokens = [];
        for (const one of node.tokens) if ((length += one[0]) <= before.length) tokens.push(one); else break;
        const old = node.tokens[tokens.length], at = old[2].indexOf(token);
        tokens.push([token.length, old[2][at + 1], old[2]]);
        go(app.current, node.parent, { text: before + token, tokens });
    };
}

// --- the tree -----------------------------------------------------------------------------------------

/** Shows the branch through the node `id`; the start if null. `focus` is the direction button to keep the focus on. */
function show(id, focus) {
    const { current } = app;
    app.editing = app.chosen = null;
    if (id === null) current.leaf = null;
    else store.visit(current, id);
    if (id && current.mode === "completion") app.chosen = current.nodes[id];
    keep(current);
    draw();
    const node = id && byId("node-" + id);
    node?.scrollIntoView({ block: "nearest" });
    if (focus) (node?.closest(".completion") ?? node)?.querySelector("[data-go=" + focus + "]:not(:disabled), .siblings button:not(:disabled)")?.focus();
}

function remove(node) {
    const { current } = app, before = current.leaf, gone = store.removeNode(current, node.id);
    keep(current);
    draw();
    const forGood = dropLater(gone);
    toast(gone.length === 1 ? "Deleted." : "Deleted, with " + (gone.length - 1) + " that followed.", "Undo", () => {
        clearTimeout(forGood);
        for (const one of gone) current.nodes[one.id] = one;
        current.leaf = before;
        keep(current);
        draw();
    });
    byId("words").focus();
}

/** The states of deleted texts go when undoing is over. */
function dropLater(nodes) {
    return setTimeout(() => dropAll(nodes), 10000);
}

// --- conversations --------------------------------------------------------------------------------------

let full = false;

function keep(conversation) {
    if (!app.conversations.includes(conversation) || !conversation.leaf && !Object.keys(conversation.nodes).length) return;
    if (store.save(conversation, app.conversations)) full = false;
    else if (!full) { full = true; toast("This browser has no room left: export or delete conversations."); }
}

function fresh() {
    app.current = store.newConversation(app.server.chat === false ? "completion" : store.loadThing("mode", "chat"));
    open(app.current);
    byId("words").focus();
}

function open(conversation) {
    app.current = conversation;
    app.editing = app.chosen = null;
    store.saveThing("current", conversation.id);
    clearNotice();
    closeDrawers();
    draw();
    stick = true;
    toEnd();
}

function forget(conversation) {
    if (app.run?.conversation === conversation) stop();
    app.conversations = app.conversations.filter((other) => other !== conversation);
    store.forget(conversation);
    if (app.current === conversation) fresh();
    else draw();
    const forGood = dropLater(Object.values(conversation.nodes));
    toast("Conversation deleted.", "Undo", () => {
        clearTimeout(forGood);
        app.conversations.push(conversation);
        keep(conversation);
        open(conversation);
    });
}

function setMode(mode) {
    app.current.mode = mode;
    store.saveThing("mode", mode);
    draw();
    document.querySelector("input[name=mode]:checked")?.focus();
}

function exportAll() {
    const url = URL.createObjectURL(new Blob([store.exported(app.conversations)], { type: "application/json" }));
    el("a", { href: url, download: "krait-conversations.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function importFile(file) {
    try {
        const found = store.imported(await file.text());
        app.conversations.push(...found);
        found.forEach(keep);
        open(found[0]);
        toast(found.length === 1 ? "One conversation was read." : found.length + " conversations were read.");
    } catch (error) {
        toast(error.message);
    }
}

// --- settings, theme, key -----------------------------------------------------------------------------------

function changed(what) {
    store.saveThing("settings", app.settings);
    if (what === "conversation") {
        dropAll(Object.values(app.current.nodes)); // they were read with other instructions
        keep(app.current);
    }
    if (what === "reset") drawPaneSettings();
    if (what === "look") look();
}

function look() {
    const { theme, tint } = app.settings, root = document.documentElement;
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    root.classList.toggle("tint", tint);
}

function nextTheme() {
    const dark = getComputedStyle(document.documentElement).colorScheme.startsWith("dark");
    app.settings.theme = dark ? "light" : "dark";
    changed("look");
    drawPanel();
    say(dark ? "Light" : "Dark");
}

let afterKey = null;

/** Asks for an API key; `then()` is what needs it. */
function askKey(then = null) {
    afterKey = then;
    const dialog = byId("ask-key");
    byId("ask-key-why").textContent = store.loadThing("key", "") || keyUsed
        ? "The key that was used is not, or no longer, one of this server’s." : "Enter the API key that the server was started with.";
    if (!dialog.open) dialog.showModal();
}

let keyUsed = false;

function useKey() {
    const key = byId("key").value.trim(), kept = byId("keep-key").checked;
    keyUsed = true;
    setKey(key);
    store.saveThing("key", kept ? key : "");
    byId("key").value = "";
    clearNotice();
    const then = afterKey;
    afterKey = null;
    if (then === meet || !app.server.model) meet();
    if (then && then !== meet) then();
}

// --- drawers and tabs ----------------------------------------------------------------------------------------

const narrow = matchMedia("(max-width: 1099px)"); // both drawers lie over the page
const middle = matchMedia("(max-width: 759px)");  // so does the list

const over = (id) => (id === "side" ? middle : narrow).matches;

function setDrawer(id, shown) {
    byId(id).classList.toggle("open", shown);
    byId(id).inert = !shown;
    const covers = ["side", "panel"].some((one) => over(one) && byId(one).classList.contains("open"));
    byId("shade").hidden = !covers;
    byId("main").inert = covers;
    if (!over(id)) store.saveThing(id, shown);
    expanded();
}

function expanded() {
    const panel = byId("panel").classList.contains("open"), tree = !byId("pane-tree").hidden;
    byId("open-side").setAttribute("aria-expanded", String(byId("side").classList.contains("open")));
    byId("open-tree").setAttribute("aria-expanded", String(panel && tree));
    byId("open-settings").setAttribute("aria-expanded", String(panel && !tree));
}

/** Closes what lies over the page; true if something did. */
function closeDrawers() {
    const open = ["side", "panel"].filter((id) => over(id) && byId(id).classList.contains("open"));
    open.forEach((id) => setDrawer(id, false));
    return open.length > 0;
}

function tab(name) {
    for (const one of ["tree", "settings"]) {
        byId("pane-" + one).hidden = one !== name;
        byId("tab-" + one).setAttribute("aria-selected", String(one === name));
        byId("tab-" + one).tabIndex = one === name ? 0 : -1;
    }
    drawPanel();
    expanded();
}

/** A button of the header: opens the panel at its tab, or closes it. */
function togglePanel(name) {
    const shown = byId("panel").classList.contains("open") && !byId("pane-" + name).hidden;
    tab(name);
    setDrawer("panel", !shown);
    if (!shown) byId("pane-" + name).querySelector(name === "tree" ? "[role=treeitem][tabindex='0']" : "input, textarea")?.focus();
    else byId("open-" + name).focus();
}

function toggleSide() {
    const shown = byId("side").classList.contains("open");
    setDrawer("side", !shown);
    if (!shown && over("side")) byId("new").focus();
}

function fitDrawers() {
    byId("shade").hidden = true;
    byId("main").inert = false;
    for (const id of ["side", "panel"]) {
        const shown = !over(id) && store.loadThing(id, id === "side" || innerWidth >= 1280);
        byId(id).classList.toggle("open", shown);
        byId(id).inert = !shown;
    }
    expanded();
}

// --- keys ---------------------------------------------------------------------------------------------------

function grow() {
    const words = byId("words");
    words.style.height = "auto";
    words.style.height = Math.min(words.scrollHeight, innerHeight * 0.4) + "px";
}

const touch = matchMedia("(pointer: coarse)");

function wordsKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && (!touch.matches || event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (!app.run) send();
    }
    if (event.key === "ArrowUp" && !byId("words").value && !app.run) {
        const last = store.pathTo(app.current, app.current.leaf).filter((node) => node.role === "user").at(-1);
        if (last) { event.preventDefault(); edit(last); }
    }
}

const SHORT = {
    KeyN: fresh, KeyT: () => togglePanel("tree"), KeyS: () => togglePanel("settings"),
    KeyR() {
        const node = store.pathTo(app.current, app.current.leaf).filter((one) => one.role === "model").at(-1);
        if (node && !app.run) again(node);
    },
};

function pageKey(event) {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "Escape") escape();
    else if (event.altKey && !event.ctrlKey && !event.metaKey && SHORT[event.code]) { event.preventDefault(); SHORT[event.code](); }
    else if (event.key === "?" && !typing) byId("help").showModal();
}

function escape() {
    if (oddsShown()) return hideOdds();
    const id = byId("side").classList.contains("open") && over("side") ? "open-side"
        : byId("pane-tree").hidden ? "open-settings" : "open-tree";
    if (closeDrawers()) return byId(id).focus();
    stop();
}

// --- all of it together -----------------------------------------------------------------------------------------

function listen() {
    const on = (id, type, run) => byId(id).addEventListener(type, run);
    on("new", "click", fresh);
    on("open-side", "click", toggleSide);
    on("open-tree", "click", () => togglePanel("tree"));
    on("open-settings", "click", () => togglePanel("settings"));
    on("theme", "click", nextTheme);
    on("tab-tree", "click", () => tab("tree"));
    on("tab-settings", "click", () => tab("settings"));
    on("to-end", "click", () => { stick = true; toEnd(); });
    on("shade", "click", escape);
    on("export", "click", exportAll);
    on("import", "click", () => byId("file").click());
    on("file", "change", () => { importFile(byId("file").files[0]); byId("file").value = ""; });
    on("composer", "submit", (event) => { event.preventDefault(); if (app.run) stop(); else send(); });
    on("words", "input", () => { grow(); store.saveThing("draft", byId("words").value); });
    on("words", "keydown", wordsKey);
    on("ask-key", "submit", useKey);
    on("no-key", "click", () => byId("ask-key").close());
    for (const close of document.querySelectorAll("[data-closes]")) close.addEventListener("click", () => {
        setDrawer(close.dataset.closes, false);
        byId(close.dataset.closes === "side" ? "open-side" : byId("pane-tree").hidden ? "open-settings" : "open-tree").focus();
    });
    document.querySelector(".tabs").addEventListener("keydown", (event) => {
        if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
        tab(byId("pane-tree").hidden ? "tree" : "settings");
        document.querySelector("[role=tab][aria-selected=true]").focus();
    });
    document.addEventListener("keydown", pageKey);
    for (const query of [narrow, middle]) query.addEventListener("change", fitDrawers);
    const nodeOf = (span) => app.current.nodes[span.closest("[data-node]")?.dataset.node];
    watch(byId("thread"), nodeOf, takeOf);
    for (const type of ["click", "focusin"]) byId("thread").addEventListener(type, choosePassage);
    addEventListener("pagehide", () => { if (app.run) keep(app.run.conversation); });
    addEventListener("storage", otherTab);
}

/** The passage clicked on or entered is the one that the buttons below the manuscript are for. */
function choosePassage(event) {
    const passage = event.target.closest?.(".passage"), node = passage && app.current.nodes[passage.dataset.node];
    if (!node || node === app.chosen || app.run || app.editing) return;
    app.chosen = node;
    drawThread(app);
}

/** Another tab wrote: its conversations are taken over, unless one is being written here. */
function otherTab(event) {
    if (app.run || app.editing || !event.key?.startsWith("krait/conversation/")) return;
    const id = app.current.id;
    app.conversations = store.loadAll();
    app.current = find(id) ?? app.current;
    draw();
}

function begin() {
    setKey(store.loadThing("key", ""));
    look();
    fitDrawers();
    if (touch.matches) byId("words").enterKeyHint = "enter";
    app.current = find(store.loadThing("current", "")) ?? store.newConversation(store.loadThing("mode", "chat"));
    listen();
    byId("words").value = store.loadThing("draft", "");
    draw();
    grow();
    toEnd();
    if (!touch.matches) byId("words").focus();
    meet();
}

begin();
