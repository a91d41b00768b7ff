// dom.js - elements made by calls. Nothing on this page is made from HTML text: the server's policy even forbids it.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners ("onclick": f) and children; null and false are left out everywhere. */
export function el(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svg(tag, attributes = {}, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (value === null || value === undefined || value === false) continue;
        if (typeof value === "function") node.addEventListener(name.slice(2), value);
        else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

/** One of the drawings at the top of page.html. */
export function icon(name) {
    return svg("svg", { class: "icon", "aria-hidden": "true", viewBox: "0 0 20 20" }, svg("use", { href: "#i-" + name }));
}

/** A button of an icon and a word; the word is always there for those who hear it, and shown if `shown`. */
export function button(name, word, onclick, { shown = false, ...attributes } = {}) {
    return el("button", { type: "button", class: shown ? "quiet" : "quiet bare", title: shown ? null : word, onclick, ...attributes },
        icon(name), el("span", { class: shown ? null : "hidden" }, word));
}

export const byId = (id) => document.getElementById(id);

/** Says something to those who listen rather than look. */
export function say(text) {
    byId("status").textContent = text;
}

/** 0.083 -> "83 ms", 12.4 -> "12.4 s" */
export function seconds(s) {
    if (s < 1) return Math.round(s * 1000) + " ms";
    return s.toFixed(s < 10 ? 2 : 1) + " s";
}

/** 19400000 -> "19.4 MB" */
export function bytes(n) {
    if (n < 1e3) return n + " B";
    if (n < 1e6) return (n / 1e3).toFixed(n < 1e4 ? 1 : 0) + " KB";
    if (n < 1e9) return (n / 1e6).toFixed(n < 1e8 ? 1 : 0) + " MB";
    return (n / 1e9).toFixed(2) + " GB";
}

/** 1234567 -> "1,234,567" */
export const count = (n) => n.toLocaleString("en");

/** A probability for people: "62 %", "0.4 %". */
export function percent(p) {
    const x = p * 100;
    if (x >= 99.95) return "100 %";
    if (x >= 10) return x.toFixed(0) + " %";
    if (x >= 0.1) return x.toFixed(1) + " %";
    return "< 0.1 %";
}
