// The console's own script: it shows decisions as they arrive, and handles the keyboard.
// Rows come from the server as HTML, in which every value is escaped.
"use strict";

const byId = (id) => document.getElementById(id);

const live = {
  source: null,
  paused: false,
  waiting: 0,

  // Connect to the stream of the list that is on the page, if there is one.
  connect() {
    this.source?.close();
    this.source = null;
    const list = byId("live");
    if (!list) return;
    const source = (this.source = new EventSource(list.dataset.stream));
    source.addEventListener("open", () => this.tell());
    source.addEventListener("error", () => this.tell());
    source.addEventListener("rows", (event) => this.show(event.data));
    source.addEventListener("health", (event) => {
      byId("health").textContent = event.data;
      byId("health").hidden = event.data === "";
    });
    source.addEventListener("lost", (event) => {
      const lost = byId("lost");
      const count = Number(event.data);
      lost.textContent =
        `${count > 0 ? count : "Some"} decisions are left out here, because this browser took too ` +
        "long to receive them. The audit file has them: load the page again.";
      lost.hidden = false;
    });
    this.tell();
  },

  // Put rows at the top; a row that is on the page already is replaced.
  show(html) {
    const made = document.createElement("template");
    made.innerHTML = html;
    const rows = byId("rows");
    const fresh = [];
    for (const row of [...made.content.children]) {
      const old = byId(row.id);
      if (old) {
        if (old.classList.contains("chosen")) row.classList.add("chosen");
        old.replaceWith(row);
      } else fresh.push(row);
    }
    if (this.paused) this.waiting += fresh.length;
    else {
      for (const row of fresh) row.classList.add("fresh");
      rows.prepend(...fresh);
      const all = rows.querySelectorAll("tr[data-seq]");
      const shown = Number(byId("live").dataset.shown);
      if (all.length > shown) {
        for (const row of [...all].slice(shown)) row.remove();
        const older = byId("older-button");
        if (older) older.dataset.before = all[shown - 1].dataset.seq;
      }
    }
    keys.chosen()?.scrollIntoView({ block: "nearest" });
    this.tell();
  },

  pause(paused) {
    if (paused === this.paused) return;
    this.paused = paused;
    const button = byId("pause");
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
    if (!paused && this.waiting > 0) htmx.trigger(byId("filters"), "reload");
    this.waiting = 0;
    this.tell();
  },

  // Say how the connection is.
  tell() {
    const place = byId("connection");
    if (!place) return;
    const state = this.source ? this.source.readyState : EventSource.CLOSED;
    const text = this.paused
      ? `Paused. ${this.waiting} new decisions.`
      : {
          [EventSource.OPEN]: "Live.",
          [EventSource.CONNECTING]: "Connecting …",
          [EventSource.CLOSED]:
            "Not connected: the console ended, or another link was opened. Load the page again.",
        }[state];
    if (place.textContent !== text) place.textContent = text;
    place.dataset.state = this.paused ? "paused" : ["connecting", "open", "closed"][state];
  },
};

const keys = {
  chosen() {
    return document.querySelector("tr.chosen");
  },

  choose(row) {
    if (!row) return;
    this.chosen()?.classList.remove("chosen");
    row.classList.add("chosen");
    const link = row.querySelector("a");
    (link || row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  },

  move(step) {
    const rows = [...document.querySelectorAll("main tbody tr")].filter((row) =>
      row.querySelector("a"),
    );
    const at = rows.indexOf(this.chosen());
    if (at < 0) this.choose(rows[0]);
    else this.choose(rows[Math.min(Math.max(at + step, 0), rows.length - 1)]);
  },

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help")?.open) return;
    const field = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape" && field) field.blur();
    if (field) return;
    const view = document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
    const actions = {
      j: () => this.move(1),
      k: () => this.move(-1),
      "/": () => document.querySelector("[data-first]")?.focus(),
      p: () => byId("pause")?.click(),
      "?": () => byId("help").showModal(),
    };
    const action = view ? () => view.click() : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  },
};

document.addEventListener("keydown", (event) => keys.press(event));
document.addEventListener("click", (event) => {
  if (event.target.closest("#pause")) live.pause(!live.paused);
  if (event.target.closest("#help-button")) byId("help").showModal();
});
// The list was replaced by another one.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "live" && event.detail.target?.id !== "live") return;
  live.pause(false);
  live.connect();
});
// A search for older decisions begins after the last row, which changes as rows make way. What it
// finds stays on the page as long as that is paused.
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters } = event.detail;
  if (elt.id !== "older-button") return;
  if (elt.dataset.before) parameters.set("before", elt.dataset.before);
  live.pause(true);
});
document.addEventListener("DOMContentLoaded", () => live.connect());
