// states.js - what the server keeps for a conversation: the state behind each reply, by name.
//
// A state is all that the model remembers of a text, in the same few megabytes for a line as for a book. Where a reply's
// state is there, what follows it is asked for with the new words alone. A second text behind the same reply is
// a branch: it begins with a fork of the state, which costs the server nothing. No state is needed: the server may have none, or have lost
// one, and then the whole text is sent.

import { call } from "./api.js";
import { addNode, childrenOf, newConversation } from "./store.js";

const MOST = 24; // kept of one conversation

const nameOf = (conversation, node) => "page-" + conversation.id + "-" + node.id;

/** Where on the way to go on from: the place of the last text whose state is there, or -1. */
export function knownOf(app, path) {
    return app.settings.states && app.server.states ? path.findLastIndex((node) => node.state) : -1;
}

/** Is the state behind `node` that of its text as it stands? Then a reply that was cut short goes on from there, without reading anything. */
export function isHeld(app, node) {
    return Boolean(node.state && app.settings.states && app.server.states);
}

/** A text ended by a stop of the reader's has it in its state, but not on the page: such a state is not asked for. */
function mayKeep(app) {
    return app.settings.states && app.server.states && !app.settings.stop.trim();
}

/** { state, save_state } of a request for `node`, which follows path[at]; a fork is made first if others follow it already. */
export async function fieldsFor(app, conversation, path, at, node, signal) {
    const own = nameOf(conversation, node), fields = mayKeep(app) ? { save_state: own } : {};
    if (at < 0) return fields;
    const base = path[at].state;
    if (!isBranch(conversation, path, at, node) || !fields.save_state) return { state: base, ...fields };
    try {
        await call("POST", "v1/states/" + base + "/fork", { body: { name: own }, signal });
    } catch (error) {
        if (error.status !== 409) throw error; // an earlier attempt made it: the state that it is of does as well
        return { state: base, ...fields };
    }
    return { state: own, ...fields };
}

/** Does anything but the way to `node` follow one of the texts from path[at] on? */
function isBranch(conversation, path, at, node) {
    const children = childrenOf(conversation), way = new Set([...path, node]);
    return path.slice(at).some((one) => (children.get(one.id) ?? []).some((child) => !way.has(child)));
}

/** What went wrong has to do with states: they are forgotten, and it can be done without. */
export function forgetIfTheirs(trouble, path, at) {
    if (at < 0 || ![400, 404, 409, 422, 501].includes(trouble.status)) return false;
    if (trouble.status === 400 && trouble.param !== "state") return false;
    path[at].state = undefined;
    return true;
}

function drop(node) {
    dropName(node.state);
    delete node.state;
}

export function dropName(name) {
    if (name) call("DELETE", "v1/states/" + name).catch(() => {}); // the server's own limit takes those that stay
}

/** Those of old replies go, so that a long conversation does not fill the server. */
export function prune(conversation) {
    const kept = Object.values(conversation.nodes).filter((node) => node.state).sort((a, b) => a.made - b.made);
    for (const node of kept.slice(0, Math.max(0, kept.length - MOST))) drop(node);
}

/** Texts are gone for good, or were read with other instructions. */
export function dropAll(nodes) {
    for (const node of nodes) drop(node);
}

// --- what a server was stopped in the middle of ---------------------------------------------------

const MOST_CUT = 3; // offered

/** The latest states of replies that the server had to cut short and kept; those that a reply here goes on from have their place there. */
export function cutOf(list, conversations) {
    const here = new Set(conversations.flatMap((one) => Object.values(one.nodes).map((node) => node.state)));
    return (list.data ?? []).filter((state) => state.fits && !here.has(state.name)).sort((a, b) => b.created - a.created).slice(0, MOST_CUT);
}

/** A conversation that goes on from one: its text so far is the model's alone. The state itself stays, for others; this is a branch of it. */
export async function takeUp(state) {
    const conversation = newConversation(state.open ? "chat" : "completion"), node = addNode(conversation, null, "model", "");
    conversation.title = "From where the server stopped";
    node.stats = { finish: "cut", held: state.n_tokens };
    await call("POST", "v1/states/" + state.name + "/fork", { body: { name: nameOf(conversation, node) } });
    node.state = nameOf(conversation, node);
    return { conversation, node };
}
