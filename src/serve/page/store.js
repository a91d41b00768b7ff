// store.js - conversations as trees, and how they are kept in this browser.
//
// A conversation is { id, title, mode, system, made, used, seq, leaf, nodes }. A node is a piece of text that follows its
// parent: { id, parent, role: "user" | "model", text, ... }. Nothing is ever overwritten: a new try, an edit or a branch is a
// new child. `leaf` is the node that the next text follows, so the text shown is the way from the start to the leaf.

const PREFIX = "krait/";
const CONVERSATION = PREFIX + "conversation/";

const random = () => Math.random().toString(36).slice(2, 10).padEnd(8, "0");

export function newConversation(mode, system = "") {
    const now = Date.now();
    return { id: random(), title: "", mode, system, made: now, used: now, seq: 0, leaf: null, nodes: {} };
}

// --- the tree -----------------------------------------------------------------------------------

export function addNode(conversation, parent, role, text) {
    const node = { id: "n" + ++conversation.seq, parent, role, text, made: Date.now() };
    conversation.nodes[node.id] = node;
    conversation.leaf = node.id;
    conversation.used = node.made;
    remember(conversation, node.id);
    if (!conversation.title && role === "user") conversation.title = titleOf(text);
    return node;
}

function titleOf(text) {
    const line = text.trim().split("\n")[0].replace(/\s+/g, " ");
    return line.length > 60 ? line.slice(0, 59).trimEnd() + "…" : line;
}

/** Nodes from the start to `id`. */
export function pathTo(conversation, id) {
    const path = [];
    for (let node = conversation.nodes[id]; node; node = conversation.nodes[node.parent]) path.unshift(node);
    return path;
}

/** Children by parent's id, oldest first; those of the start are under null. */
export function childrenOf(conversation) {
    const children = new Map([[null, []]]);
    for (const node of Object.values(conversation.nodes)) {
        if (!children.has(node.parent)) children.set(node.parent, []);
        children.get(node.parent).push(node);
    }
    return children;
}

/** Every node on the way to `id` remembers which child was last looked at, for visit(). */
function remember(conversation, id) {
    for (const node of pathTo(conversation, id)) {
        const parent = conversation.nodes[node.parent];
        if (parent) parent.last = node.id;
    }
}

/** Shows the branch through `id`, down to where it was last left. */
export function visit(conversation, id) {
    const children = childrenOf(conversation);
    let leaf = id;
    while (children.has(leaf)) leaf = conversation.nodes[conversation.nodes[leaf].last]?.id ?? children.get(leaf).at(-1).id;
    conversation.leaf = leaf;
    remember(conversation, leaf);
}

/** Removes a node and all that follows it; returns the nodes removed. */
export function removeNode(conversation, id) {
    const children = childrenOf(conversation), gone = [], todo = [conversation.nodes[id]];
    while (todo.length) {
        const node = todo.pop();
        gone.push(node);
        todo.push(...(children.get(node.id) ?? []));
        delete conversation.nodes[node.id];
    }
    if (!conversation.nodes[conversation.leaf]) conversation.leaf = gone[0].parent;
    return gone;
}

// --- keeping ---------------------------------------------------------------------------------------

const memory = new Map(); // where a browser keeps nothing (private windows), the page itself does

function write(key, value) {
    memory.set(key, value);
    localStorage.setItem(key, value);
}

function read(key) {
    try {
        return localStorage.getItem(key) ?? memory.get(key) ?? null;
    } catch {
        return memory.get(key) ?? null;
    }
}

export function loadAll() {
    const found = [];
    try {
        for (let i = 0; i < localStorage.length; i++) {
            const key = localStorage.key(i);
            if (key.startsWith(CONVERSATION)) found.push(parse(read(key)));
        }
    } catch { /* nothing is kept here */ }
    return found.filter(Boolean);
}

function parse(text) {
    try {
        return checked(JSON.parse(text));
    } catch {
        return null;
    }
}

const FULL = ["QuotaExceededError", "NS_ERROR_DOM_QUOTA_REACHED"]; // the second: older Firefox

/** False if there was no room even after probabilities of the oldest conversations were given up. */
export function save(conversation, all) {
    const oldest = [...all].sort((a, b) => a.used - b.used);
    for (;;) {
        try {
            write(CONVERSATION + conversation.id, JSON.stringify(conversation));
            return true;
        } catch (error) {
            if (!FULL.includes(error.name)) return true; // kept nowhere but in the page, which has it
            const heavy = oldest.shift();
            if (!heavy) return false;
            forgetTokens(heavy);
            if (heavy.id !== conversation.id) try {
                localStorage.setItem(CONVERSATION + heavy.id, JSON.stringify(heavy));
            } catch { /* not even smaller: the next one */ }
        }
    }
}

function forgetTokens(conversation) {
    for (const node of Object.values(conversation.nodes)) delete node.tokens;
}

export function forget(conversation) {
    memory.delete(CONVERSATION + conversation.id);
    try { localStorage.removeItem(CONVERSATION + conversation.id); } catch { /* nothing is kept here */ }
}

/** Small things by name: settings, the conversation shown last. */
export function loadThing(name, otherwise) {
    try {
        return JSON.parse(read(PREFIX + name)) ?? otherwise;
    } catch {
        return otherwise;
    }
}

export function saveThing(name, value) {
    try { write(PREFIX + name, JSON.stringify(value)); } catch { /* then until the page closes */ }
}

// --- files -------------------------------------------------------------------------------------------

export function exported(conversations) {
    return JSON.stringify({ format: "krait-conversations", version: 1, conversations }, null, 1);
}

/** Conversations of an exported file, under new names; throws a sentence if it is none. */
export function imported(text) {
    let file;
    try {
        file = JSON.parse(text);
    } catch {
        throw new Error("This file is not JSON.");
    }
    if (file?.format !== "krait-conversations" || !Array.isArray(file.conversations))
        throw new Error("This file does not hold conversations of this page.");
    const found = file.conversations.map(checked).filter(Boolean);
    if (!found.length) throw new Error("This file holds no conversation that can be read.");
    for (const conversation of found) {
        conversation.id = random(); // states on a server belong to the conversation that made them
        for (const node of Object.values(conversation.nodes)) delete node.state;
    }
    return found;
}

const string = (value, most) => typeof value === "string" ? value.slice(0, most) : "";
const number = (value, otherwise) => Number.isFinite(value) ? value : otherwise;

/** What was kept or imported, taken over field by field; null if it is no conversation. */
function checked(c) {
    if (!c || typeof c !== "object" || typeof c.nodes !== "object" || !/^[a-z0-9]{1,32}$/.test(c.id)) return null;
    const nodes = {};
    for (const n of Object.values(c.nodes ?? {})) {
        if (!/^n\d{1,9}$/.test(n?.id) || !["user", "model"].includes(n.role) || typeof n.text !== "string") continue;
        nodes[n.id] = checkedNode(n);
    }
    for (const node of Object.values(nodes)) if (!reachesStart(nodes, node)) return null;
    const seq = Object.keys(nodes).reduce((most, id) => Math.max(most, Number(id.slice(1))), 0);
    const leaf = string(c.leaf, 10);
    return {
        id: c.id, title: string(c.title, 200), mode: c.mode === "completion" ? "completion" : "chat", system: string(c.system, 1e6),
        made: number(c.made, 0), used: number(c.used, 0), seq, leaf: Object.hasOwn(nodes, leaf) ? leaf : Object.keys(nodes).at(-1) ?? null, nodes,
    };
}

function checkedNode(n) {
    const node = { id: n.id, parent: typeof n.parent === "string" ? n.parent : null, role: n.role, text: n.text, made: number(n.made, 0) };
    if (typeof n.last === "string") node.last = n.last;
    if (typeof n.state === "string") node.state = n.state;
    if (n.stats && typeof n.stats === "object") node.stats = checkedStats(n.stats);
    if (n.edited === true) node.edited = true;
    if (Array.isArray(n.tokens) && n.tokens.every(isToken)) node.tokens = n.tokens;
    return node;
}

function checkedStats(s) {
    const stats = {};
    for (const name of ["first", "rate", "tokens", "prompt", "known", "held"]) if (Number.isFinite(s[name])) stats[name] = s[name];
    if (typeof s.finish === "string") stats.finish = s.finish.slice(0, 40);
    return stats;
}

/** A token is [length of its text, log probability, [other token, its log probability, ...]]. */
function isToken(t) {
    return Array.isArray(t) && Number.isInteger(t[0]) && t[0] >= 0 && Number.isFinite(t[1]) && Array.isArray(t[2])
        && t[2].every((x, i) => typeof x === (i % 2 ? "number" : "string"));
}

function reachesStart(nodes, node) {
    const seen = new Set();
    for (; node; node = nodes[node.parent]) {
        if (seen.has(node.id)) return false;
        seen.add(node.id);
        if (node.parent !== null && !nodes[node.parent]) return false;
    }
    return true;
}
