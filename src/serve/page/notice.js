// notice.js - what went wrong, and what can be done about it.

import { call } from "./api.js";
import { byId, el, say } from "./dom.js";

const TRIES = 8; // by itself, then it waits for somebody

let timer = null, tries = 0;

export function clearNotice() {
    clearTimeout(timer);
    byId("notice").replaceChildren();
}

/** A reply came: the next trouble is a new one. */
export function wentWell() {
    tries = 0;
    clearNotice();
}

/** Shows `trouble` below the text; `retry()` does again what failed. `part`: some was written; `cut`: it goes on from where the server stopped. */
export function notice(trouble, retry, { askKey, part = false, cut = false } = {}) {
    clearNotice();
    const again = () => { clearNotice(); retry(); };
    const wait = el("p", { class: "wait" }), waits = ["busy", "cut"].includes(trouble.kind);
    const buttons = [
        trouble.kind === "key" && el("button", { type: "button", class: "strong", onclick: askKey }, "Enter a key"),
        trouble.kind !== "key" && el("button", { type: "button", class: "strong", onclick: again },
            cut ? "Continue where the server stopped" : waits ? "Try now" : part ? "Another try" : "Try again"),
        el("button", { type: "button", class: "quiet", onclick: clearNotice }, waits ? "Give up" : "Close"),
    ];
    byId("notice").replaceChildren(el("div", { class: "card " + trouble.kind }, el("h2", {}, trouble.title), el("p", {}, trouble.message),
        part && el("p", {}, "What had been written is kept."),
        trouble.detail && el("p", { class: "detail" }, trouble.detail), wait, el("div", { class: "actions" }, buttons)));
    if (waits && tries < TRIES) countDown(wait, trouble.after ?? Math.min(2 ** tries, 30), again);
    if (trouble.kind === "network") watchForServer(wait, cut ? again : () => {});
}

/** The seconds are shown, but not said each time: an alert that speaks every second is worse than the trouble. */
function countDown(wait, seconds, again) {
    const left = el("span", { "aria-hidden": "true" });
    wait.append(el("span", { class: "hidden" }, "Trying again in " + seconds + " seconds."), left);
    const end = performance.now() + seconds * 1000;
    const tick = () => {
        const now = Math.ceil((end - performance.now()) / 1000);
        if (now <= 0) { tries++; again(); return; }
        left.textContent = "Trying again in " + now + " s";
        timer = setTimeout(tick, 250);
    };
    tick();
}

function watchForServer(wait, then) {
    const look = async () => {
        try {
            await call("GET", "health");
            wait.textContent = "The server is back.";
            say("The server is back.");
            then();
        } catch {
            timer = setTimeout(look, 3000);
        }
    };
    timer = setTimeout(look, 3000);
}

/** A short word at the edge of the page, with something to do about it if `undo` is given. */
export function toast(text, word = "", undo = null) {
    const box = byId("toast");
    const act = () => { box.replaceChildren(); undo(); };
    box.replaceChildren(el("span", {}, text), undo ? el("button", { type: "button", class: "quiet", onclick: act }, word) : "");
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => box.replaceChildren(), undo ? 9000 : 4000);
}
