// settings.js - how the next token is drawn, in words of people who never heard of it; and what the page itself does.

import { el } from "./dom.js";

export const DEFAULTS = {
    temperature: 0.8, top_p: 0.95, top_k: 0, min_p: 0, repetition_penalty: 1, max_tokens: 512, seed: "", stop: "",
    odds: true, tint: false, states: true, theme: "system",
};

// One record a control. `off` is the value that changes nothing: it is not sent.
const CONTROLS = [
    { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05,
        why: "How much risk is taken. At 0 always the likeliest token; above 1 unlikely ones become common." },
    { name: "top_p", label: "Top-p", min: 0.05, max: 1, step: 0.01, off: 1,
        why: "Only the likeliest tokens that together have this share of the probability may be drawn. 1: all." },
    { name: "min_p", label: "Min-p", min: 0, max: 0.5, step: 0.01, off: 0,
        why: "A token needs at least this part of the likeliest one’s probability. 0: none is left out." },
    { name: "top_k", label: "Top-k", min: 0, max: 200, step: 1, off: 0,
        why: "Only so many of the likeliest tokens may be drawn. 0: any number." },
    { name: "repetition_penalty", label: "Repetition penalty", min: 1, max: 2, step: 0.05, off: 1,
        why: "Above 1, what was said before becomes less likely. Helps a model that goes in circles." },
    { name: "max_tokens", label: "Longest reply", min: 16, max: 4096, step: 16, unit: "tokens",
        why: "Writing stops here even in the middle of a sentence." },
];

/** What of the settings goes into a request. */
export function samplingOf(settings) {
    const body = {};
    for (const { name, off } of CONTROLS) if (settings[name] !== off) body[name] = settings[name];
    if (/^\d+$/.test(settings.seed)) body.seed = Number(settings.seed);
    const stop = settings.stop.split("\n").map((line) => line.replace(/\\n/g, "\n")).filter(Boolean).slice(0, 4);
    if (stop.length) body.stop = stop;
    return body;
}

/** Kept settings, as far as they are of the right kind. */
export function settingsFrom(kept) {
    const settings = { ...DEFAULTS };
    for (const name of Object.keys(DEFAULTS)) if (typeof kept?.[name] === typeof DEFAULTS[name]) settings[name] = kept[name];
    for (const { name, min, max } of CONTROLS) settings[name] = Math.min(Math.max(settings[name], min), max);
    return settings;
}

function slider(control, settings, changed) {
    const { name, label, min, max, step, why, unit } = control, id = "set-" + name;
    const set = (value, from) => {
        settings[name] = Math.min(Math.max(Number(value) || 0, min), max);
        for (const input of [range, exact]) if (input !== from) input.value = settings[name];
        changed();
    };
    const attributes = { min, max, step, value: settings[name], "aria-describedby": id + "-why" };
    const range = el("input", { type: "range", id, ...attributes, oninput: () => set(range.value, range) });
    const exact = el("input", { type: "number", ...attributes, step: "any", "aria-label": label + ", exact", inputmode: "decimal",
        onchange: () => set(exact.value, null) });
    return el("div", { class: "control" },
        el("div", { class: "head" }, el("label", { for: id }, label), exact, unit && el("span", { class: "unit" }, unit)),
        range, el("p", { class: "why", id: id + "-why" }, why));
}

function field(name, label, why, input, settings, changed) {
    const id = "set-" + name;
    const set = () => { settings[name] = input.value; changed(); };
    input.id = id;
    input.value = settings[name];
    input.setAttribute("aria-describedby", id + "-why");
    input.addEventListener("input", set);
    return el("div", { class: "control" }, el("div", { class: "head" }, el("label", { for: id }, label)), input, el("p", { class: "why", id: id + "-why" }, why));
}

function check(name, label, why, settings, changed, disabled = false) {
    const id = "set-" + name;
    const input = el("input", { type: "checkbox", id, disabled, checked: settings[name] && !disabled, "aria-describedby": id + "-why",
        onchange: () => { settings[name] = input.checked; changed(); } });
    return el("div", { class: "control" }, el("label", { class: "check" }, input, el("span", {}, label)), el("p", { class: "why", id: id + "-why" }, why));
}

function choice(name, label, options, settings, changed) {
    const inputs = options.map(([value, word]) => {
        const input = el("input", { type: "radio", name, value, checked: settings[name] === value,
            onchange: () => { settings[name] = value; changed(); } });
        return el("label", {}, input, el("span", {}, word));
    });
    return el("fieldset", { class: "choice" }, el("legend", {}, label), el("div", {}, inputs));
}

/**
 * Draws all controls into `pane`. `conversation` has the words a chat begins with; `changed(what)` is called after each
 * change, `askKey()` by the button for an API key.
 */
export function drawSettings(pane, { settings, conversation, server, changed, askKey }) {
    const edited = () => changed("settings");
    const system = el("textarea", { rows: 3, placeholder: "You are …" });
    const reset = el("button", { type: "button", class: "quiet", onclick: () => {
        for (const { name } of CONTROLS) settings[name] = DEFAULTS[name];
        settings.seed = settings.stop = "";
        changed("reset");
    } }, "Back to the usual");
    pane.replaceChildren(...[
        conversation.mode === "chat" && field("system", "Instructions", "Read before the first message of this conversation.",
            system, conversation, () => changed("conversation")),
        ...CONTROLS.map((control) => slider(control, settings, edited)),
        field("seed", "Seed", "The same number and the same text give the same reply. Empty: a new one each time.",
            el("input", { type: "text", inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off" }), settings, edited),
        field("stop", "Stop at", "Writing ends before any of these, one a line; \\n is a line end.", el("textarea", { rows: 2 }), settings, edited),
        reset, el("hr"),
        check("odds", "Ask for probabilities", "The five likeliest tokens at each place, to look at by pointing at a word.", settings, edited),
        check("tint", "Tint unlikely tokens", "The darker, the less sure the model was.", settings, () => changed("look")),
        check("states", "Keep states on the server", server.states
            ? "What the model remembers at each reply is kept there, so a branch begins at once instead of reading everything again."
            : "This server keeps none, so a branch reads its text again.", settings, edited, !server.states),
        choice("theme", "Theme", [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]], settings, () => changed("look")),
        el("button", { type: "button", class: "quiet", onclick: askKey }, "API key …"),
    ].filter(Boolean));
}
