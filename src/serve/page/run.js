// run.js - one reply being written: what is asked of the server, and what its stream does to the tree.

import { pieceOf, stream } from "./api.js";
import { samplingOf } from "./settings.js";
import { dropAll, dropName, fieldsFor, forgetIfTheirs, isHeld, knownOf, prune } from "./states.js";
import { addNode, pathTo } from "./store.js";

const DRAW_EVERY = 50; // ms: more often than this nobody reads

/** The request that continues `path` from behind path[at]; `begun` is how the reply begins already, "" if path[at] is it itself, null if it does not. */
function requestFor(app, conversation, path, at, begun) {
    const { settings, server } = app, texts = path.slice(at + 1);
    const body = { ...samplingOf(settings), stream: true, stream_options: { include_usage: true } };
    body.max_tokens = Math.min(body.max_tokens, server.maxTokens);
    if (server.model) body.model = server.model;
    if (conversation.mode === "completion") {
        if (settings.odds) body.logprobs = 5;
        return { url: "v1/completions", body: { ...body, prompt: texts.map((node) => node.text).join("") + (begun ?? "") } };
    }
    if (settings.odds) Object.assign(body, { logprobs: true, top_logprobs: 5 });
    body.messages = messagesOf(conversation, texts, at);
    if (begun !== null) {
        body.messages.push({ role: "assistant", content: begun });
        body.continue_final_message = true;
    }
    return { url: "v1/chat/completions", body };
}

function messagesOf(conversation, path, at) {
    const system = at < 0 && conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
    return [...system, ...path.map((node) => ({ role: node.role === "user" ? "user" : "assistant", content: node.text }))];
}

/**
 * Has the model continue after `parent`, as a new child of it. `begun` ({ text, tokens }) is kept as the beginning of that
 * child; with begun.into it is that very node, which has been begun already. Resolves when all is written or was stopped; throws Trouble after taking back a child that holds nothing.
 * Calls hooks.begin(run) once, hooks.draw(run) as text arrives, hooks.end(run).
 */
export async function write(app, conversation, parent, begun, hooks) {
    const before = conversation.leaf, path = pathTo(conversation, parent);
    const node = begun?.into ?? addNode(conversation, parent, "model", begun?.text ?? "");
    if (begun?.tokens) node.tokens = begun.tokens;
    const run = { conversation, node, control: new AbortController(), started: performance.now(), first: null, last: null, tokens: 0, timer: null };
    const had = node.text, finish = node.stats?.finish;
    app.run = run;
    hooks.begin(run);
    try {
        await attempt(app, run, path, begun, hooks);
    } catch (error) {
        if (error.state) keepState(run, error.state);
        const same = begun?.into && node.text === had ? finish : null; // nothing came: it is as it was
        node.stats = { finish: same ?? (error.name === "AbortError" ? "stopped" : error.state ? "cut" : "lost") };
        if (error.name === "AbortError") return;
        if (!begun?.into && node.text === (begun?.text ?? "")) takeBack(conversation, node, before);
        throw error;
    } finally {
        clearTimeout(run.timer);
        if (run.from !== node.state) dropName(run.from);
        node.stats = { ...node.stats, ...figuresOf(run) };
        app.run = null;
        hooks.end(run);
    }
}

/** Goes on from the last state that the server has on the way; without, if it has lost that one. */
async function attempt(app, run, path, begun, hooks) {
    const { conversation, node, control } = run, held = begun?.into && isHeld(app, node), way = held ? [...path, node] : path;
    const at = knownOf(app, way);
    const { url, body } = requestFor(app, conversation, way, at, held ? "" : begun?.text || null);
    const had = node.text;
    try {
        Object.assign(body, await fieldsFor(app, conversation, way, at, node, control.signal));
        run.from = node.state;
        await stream(url, body, control.signal, (event) => take(run, event, hooks));
        prune(conversation);
    } catch (error) {
        if (node.text !== had || !forgetIfTheirs(error, way, at)) throw error;
        await attempt(app, run, path, begun, hooks);
    }
}

function takeBack(conversation, node, leaf) {
    dropAll([node]);
    delete conversation.nodes[node.id];
    conversation.leaf = leaf;
}

function take(run, event, hooks) {
    const { node } = run, { text, tokens, finish, usage } = pieceOf(event), now = performance.now();
    if (text) {
        run.first ??= now;
        run.last = now;
        run.tokens += tokens?.length || 1;
        node.text += text;
        delete node.state; // it was that of a shorter text
    }
    if (tokens?.length) keepTokens(node, tokens, text);
    if (finish) node.stats = { ...node.stats, finish };
    if (usage) run.usage = usage;
    if (event.state?.name && !event.state.error) keepState(run, event.state);
    run.timer ??= setTimeout(() => { run.timer = null; hooks.draw(run); }, DRAW_EVERY);
}

function keepState(run, { name, n_tokens }) {
    run.node.state = name;
    run.held = n_tokens;
}

/** Tokens are of use only if they cover the text from its beginning: one piece without them ends it. */
function keepTokens(node, tokens, text) {
    node.tokens ??= [];
    const covered = node.tokens.reduce((sum, token) => sum + token[0], 0);
    if (covered + text.length === node.text.length) node.tokens.push(...tokens);
}

/** { first, rate, tokens, prompt, known, held } of a run, as far as it has come: seconds, and tokens per second. */
export function figuresOf(run) {
    const written = run.usage?.completion_tokens ?? run.tokens, spent = (run.last - run.first) / 1000;
    const figures = { tokens: written };
    if (run.first !== null) figures.first = (run.first - run.started) / 1000;
    if (written > 1 && spent > 0.02) figures.rate = (written - 1) / spent;
    if (run.usage) figures.prompt = run.usage.prompt_tokens;
    const known = run.usage?.prompt_tokens_details?.cached_tokens;
    if (Number.isFinite(known)) figures.known = known;
    if (run.held) figures.held = run.held;
    return figures;
}
