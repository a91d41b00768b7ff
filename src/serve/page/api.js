// api.js - the server's protocol: one request with its events, and what can go wrong as something a person can read.

const base = new URL(".", document.baseURI); // also behind a proxy that serves the page under a path

/**
 * What went wrong: `kind` says what can be done about it, `after` is how many seconds the server wants to be left alone, `state` is
 * what a server that ended in the middle has kept of it: { name, n_tokens }.
 */
export class Trouble extends Error {
    constructor(kind, title, text, { after = null, detail = "", status = 0, param = null, state = null } = {}) {
        super(text);
        Object.assign(this, { kind, title, after, detail, status, param, state });
    }
}

let key = "";
export const setKey = (value) => { key = value; };

/** A request; resolves to the answer if the server agrees, else throws Trouble. */
export async function call(method, path, { body = null, signal = null } = {}) {
    const headers = {};
    if (body !== null) headers["Content-Type"] = "application/json";
    if (key) headers["Authorization"] = "Bearer " + key;
    let answer;
    try {
        answer = await fetch(new URL(path, base), { method, headers, signal, body: body === null ? null : JSON.stringify(body), cache: "no-store" });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw lost();
    }
    if (!answer.ok) throw await refusal(answer);
    return answer;
}

export async function json(method, path, options) {
    const answer = await call(method, path, options);
    try {
        return await answer.json();
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw lost();
    }
}

export function lost() {
    return new Trouble("network", "The server cannot be reached",
        "It may have been stopped, or the network is down. Nothing you wrote is lost.");
}

async function refusal(answer) {
    let error = {};
    try {
        error = (await answer.json()).error ?? {};
    } catch { /* not our server, or cut off: the code alone has to do */ }
    return troubleOf(answer.status, error, secondsOf(answer.headers.get("Retry-After")));
}

/** Retry-After is a number of seconds or a date. */
function secondsOf(header) {
    if (!header) return null;
    const s = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
    return Number.isFinite(s) ? Math.min(Math.max(Math.ceil(s), 1), 3600) : null;
}

/** What would have been the status, had the answer not begun: its code is a number or, of our server, a word. */
function statusOf(code) {
    return code === "shutting_down" ? 503 : Number(code) || 500;
}

function troubleOf(status, error, after) {
    const detail = typeof error.message === "string" ? error.message : "";
    const make = (kind, title, text) => new Trouble(kind, title, text, { after, detail, status, param: error.param });
    if (status === 401 || status === 403)
        return make("key", "This server wants a key", "Enter the API key that the server was started with.");
    if (status === 404) return make("missing", "The server does not have this", "It may be of another version, or what was asked for is gone.");
    if (status === 413) return make("long", "That is too long for this server", "Shorten the text, or raise the server's limit.");
    if (status === 429) return make("busy", "The server is busy", "Too many requests are waiting. This one is sent again by itself.");
    if (status === 503) return make("busy", "The server is not ready", "It is starting, or about to stop. This is sent again by itself.");
    if (status >= 400 && status < 500)
        return make("refused", "The server did not accept this request", error.param ? "It objects to “" + error.param + "”." : "It gives the reason below.");
    return make("failed", "The server could not answer", "Something went wrong on its side (" + status + ").");
}

/** An error where the next piece should be. */
function troubleInside({ error, state }) {
    if (!state?.name || state.error) return troubleOf(statusOf(error.code), error, null);
    return new Trouble("cut", "The server stopped", "What the model remembers up to here is kept. It is gone on with from there by itself.", { status: 503, state });
}

/**
 * Sends a request whose answer is a stream, and gives each event as an object to `onevent`.
 * Resolves when the stream says it is done; a stream that breaks off before is a lost connection.
 */
export async function stream(path, body, signal, onevent) {
    const answer = await call("POST", path, { body, signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const feed = eventReader((data) => {
        if (data === "[DONE]") return true;
        const event = JSON.parse(data);
        if (event.error) throw troubleInside(event);
        onevent(event);
        return false;
    });
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) throw lost();
            if (feed(value)) return;
        }
    } catch (error) {
        if (error instanceof Trouble || error.name === "AbortError") throw error;
        throw error instanceof SyntaxError ? new Trouble("failed", "The server could not be understood", error.message) : lost();
    } finally {
        reader.cancel().catch(() => {});
    }
}

/** Server-sent events: lines by LF, CRLF or CR, "data:" fields of an event joined by line ends. */
function eventReader(ondata) {
    let rest = "", data = [];
    return (text) => {
        rest += text;
        const lines = rest.split(/\r\n|\n|\r(?=.)/s);
        rest = lines.pop();
        for (const line of lines) {
            if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
            if (line !== "" || !data.length) continue;
            const whole = data.join("\n");
            data = [];
            if (ondata(whole)) return true;
        }
        return false;
    };
}

// --- what a stream's events say --------------------------------------------------------------------

/** The text and tokens of an event, of a chat or of a completion: { text, tokens, finish, usage }. */
export function pieceOf(event) {
    const choice = event.choices?.[0];
    const text = choice ? choice.delta?.content ?? choice.text ?? "" : "";
    return { text, tokens: tokensOf(choice?.logprobs, text), finish: choice?.finish_reason ?? null, usage: event.usage ?? null };
}

function tokensOf(logprobs, text) {
    if (Array.isArray(logprobs?.content))
        return lengths(text, logprobs.content.map((t) => [t.token, t.logprob, (t.top_logprobs ?? []).flatMap((o) => [o.token, o.logprob])]));
    if (Array.isArray(logprobs?.tokens))
        return lengths(text, logprobs.tokens.map((token, i) =>
            [token, logprobs.token_logprobs?.[i], Object.entries(logprobs.top_logprobs?.[i] ?? {}).flat()]));
    return null;
}

const rounded = (x) => Math.round(Math.max(x ?? -99, -99) * 1000) / 1000;

/** Tokens by how much of the text they are: one that ends within a character has nothing, the one that completes it has all. */
function lengths(text, tokens) {
    let at = 0;
    const found = tokens.map(([token, p, others]) => {
        const length = token && text.startsWith(token, at) ? token.length : 0;
        at += length;
        return [length, rounded(p), others.map((x, i) => i % 2 ? rounded(x) : x)];
    });
    if (found.length && at < text.length) found.at(-1)[0] += text.length - at;
    return found;
}
