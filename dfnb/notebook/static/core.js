// What all views share: nodes, times, the picture and its deltas, and questions to the kernel.
// The kernel sends absolute times; what counts on is computed here, also while the kernel is busy.

// By kind of picture a class: new (view, root, kind), show(picture, now) => ms until it must be shown again or 0, end()
const VIEWS = {};
const BUSY = "the kernel is busy; it will answer when the running cell lets it";
const BUSY_AFTER = 1500;

// ---- nodes

// Classes are named without the "dfnb-" all of ours begin with. An object among the parts holds attributes and listeners.
function h(tag, classes = "", ...parts) {
  const made = document.createElement(tag);
  if (classes) made.className = classes.replace(/\S+/g, "dfnb-$&");
  for (const part of parts) {
    if (part?.constructor === Object) set(made, part);
    else if (part) made.append(part);
  }
  return made;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// One line each, in the nodes that are there.
function writeLines(node, texts, classes) {
  while (node.children.length > texts.length) node.lastChild.remove();
  texts.forEach((text, at) => write(node.children[at] || node.appendChild(h("div", classes)), text));
}

// With nothing to write the node is hidden.
function fill(node, text) {
  node.hidden = !text;
  write(node, text || "");
}

function set(node, values) {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value);
  }
  return node;
}

function mark(node, name, isOn) {
  node.classList.toggle(`dfnb-${name}`, Boolean(isOn));
}

function hidden(node) {
  node.hidden = true;
  return node;
}

const button = (text, click, classes = "") => h("button", `button ${classes}`, text, { type: "button", click });

const link = (text, click) => button(text, click, "link");

const field = (label, control) => h("label", "field", h("span", "quiet", label), control);

// Without the clipboard API (a page that is not secure) the old way still works.
async function copy(text, told) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(h("textarea", "", text));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  write(told, "Copied");
}

function copyButton(text) {
  const made = button("Copy", () => copy(text(), made));
  return set(made, { blur: () => write(made, "Copy") });
}

// ---- texts, times and sizes

const whole = (number) => (number || 0).toLocaleString("en");
const some = (number) => (number ? whole(number) : "");
const clamp = (number, least, most) => Math.max(least, Math.min(most, number));

// Those of the words there are.
const list = (words, between = ", ") => words.filter(Boolean).join(between);

// Where there is little room: without what all URLs begin with, and without the host if that is still too long.
function short(text, longest) {
  const found = text.replace(/https?:.{2}/, "");
  return found.length > longest ? text.replace(/https?:.{2}[^/]*/, "") : found;
}

// "2026-01-31T12:00:00.000" where the browser is.
const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * 6e4).toISOString();

function clock(at, exact = false) {
  if (!at) return "";
  const [day, time] = local(at).slice(0, exact ? 23 : 19).split("T");
  return local(Date.now()).startsWith(day) ? time : `${day} ${time}`;
}

function span(ms, exact = false) {
  const seconds = Math.max(0, ms) / 1000;
  if (exact && ms < 1) return "<1 ms";
  if (exact && seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (exact && seconds < 10) return `${seconds.toFixed(2)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

// A length of time somebody has chosen: 5 s, not 5.00 s.
const brief = (ms) => span(ms, ms % 1000 > 0);

// Time left: tenths at the end, when one watches; never "0 s" while there is some left.
const left = (ms) => (ms < 10000 ? `${(Math.ceil(ms / 100) / 10).toFixed(1)} s` : span(ms + 999));

function elapsed(picture, now) {
  if (!picture.created) return "";
  if (picture.ended) return span(picture.ended - picture.created, true);
  return picture.over ? "" : span(now - picture.created);
}

const many = (number, one, more = `${one}s`) => `${whole(number)} ${number === 1 ? one : more}`;

function size(bytes) {
  if (bytes == null) return "";
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const state = (picture) => (picture.held ? "Held" : picture.status);

const remaining = (wait, now) => (wait.next || wait.until || 0) - now;

function waiting(wait, now) {
  const remains = remaining(wait, now);
  if (wait.next) {
    const asked = wait.asked ? ` (Retry-After ${brief(wait.asked)})` : "";
    const at = remains > 60000 ? ` at ${clock(wait.next)},` : "";
    return remains > 0 ? `${wait.text}, next poll${at} in ${left(remains)}${asked}` : wait.text;
  }
  if (wait.until) return list([`${wait.text} until ${clock(wait.until)}`, remains > 0 && `(in ${left(remains)})`], " ");
  return wait.since ? `${wait.text} since ${clock(wait.since)} (${span(now - wait.since)})` : wait.text;
}

function showWaits(node, picture, now) {
  const lines = picture.held ? [{ text: picture.held, missing: true }] : picture.waits || [];
  writeLines(node, lines.map((wait) => waiting(wait, now)), "wait");
  lines.forEach((wait, at) => mark(node.children[at], "missing", wait.missing));
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// How soon a picture looks different though nothing came: 0 for never.
function pauseOf(picture, now) {
  if (picture.over) return 0;
  const isSoon = (picture.waits || []).map((wait) => remaining(wait, now)).some((remains) => remains > 0 && remains < 11000);
  return isSoon && !calm.matches ? 100 : 1000;
}

// ---- keeping in step with the kernel

// `n` comes last: the model compares a new value with the old one key by key from the end, and so stops at once.
function merge(old, message) {
  const { n, ...next } = message.full || { ...old, ...message.set };
  if (message.rows) next.rows = { ...next.rows, ...message.rows };
  next.epoch = (old.epoch || 0) + (message.full ? 1 : 0);
  next.skew = message.now - Date.now();
  next.n = message.n;
  return next;
}

// Here and not in a view, so that nothing is missed before the first view or between two. After a gap the kernel sends all again.
function initialize({ model }) {
  const first = model.get("snapshot");
  let missed = 0;
  model.set("snapshot", { ...first, epoch: 0, skew: first.now - Date.now(), n: first.n });
  const hear = (message) => {
    if (message.n === undefined) return;
    const have = model.get("snapshot");
    if (message.full || message.n === have.n + 1) {
      missed = 0;
      model.set("snapshot", merge(have, message));
    } else if (message.n > have.n && Date.now() - missed > 1000) {
      missed = Date.now();
      model.send({ seen: have.n });
    }
  };
  model.on("msg:custom", hear);
  model.send({ seen: first.n });
  return () => model.off("msg:custom", hear);
}

// One place on the page where a model is shown; keys pressed in it are not the notebook's. Draws at most once a frame, and only what can be seen.
class View {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.ending = new AbortController();
    this.uid = `dfnb-${Math.random().toString(36).slice(2)}`;
    this.asked = new Map();
    this.isSeen = true;
    this.frame = this.timer = 0;
    root.classList.add("dfnb", "dfnb-live");
    root.dataset.lmSuppressShortcuts = "true";
    this.place = root.appendChild(h("div"));
    this.busy = root.appendChild(h("div", "busy", { role: "status" }));
    this.listen();
    this.show();
  }

  listen() {
    this.model.on("change:snapshot", this.redraw);
    this.model.on("msg:custom", this.hear);
    this.sight = new IntersectionObserver((seen) => this.see(seen.at(-1).isIntersecting));
    this.sight.observe(this.root);
    this.themes = new MutationObserver(this.redraw);
    for (const node of [document.documentElement, document.body]) this.themes.observe(node, { attributes: true });
    const { signal } = this.ending;
    this.media = ["(prefers-color-scheme: dark)", "(forced-colors: active)"].map((query) => matchMedia(query));
    for (const one of this.media) one.addEventListener("change", this.redraw, { signal });
    document.addEventListener("visibilitychange", this.redraw, { signal });
  }

  end() {
    this.model.off("change:snapshot", this.redraw);
    this.model.off("msg:custom", this.hear);
    this.sight.disconnect();
    this.themes.disconnect();
    this.ending.abort();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    for (const { slow } of this.asked.values()) clearTimeout(slow);
    this.body?.end();
  }

  see(isSeen) {
    this.isSeen = isSeen;
    if (isSeen) this.redraw();
    else clearTimeout(this.timer);
  }

  redraw = () => {
    if (this.isSeen && !document.hidden && !this.frame) this.frame = requestAnimationFrame(() => this.show());
  };

  show() {
    this.frame = 0;
    clearTimeout(this.timer);
    const picture = this.model.get("snapshot");
    const key = `${picture.kind} ${picture.id || ""}`;
    if (key !== this.key) this.rebuild(picture.kind, key);
    const pause = this.body.show(picture, Date.now() + (picture.skew || 0));
    if (pause && this.isSeen && !document.hidden) this.timer = setTimeout(() => this.show(), pause);
  }

  rebuild(kind, key) {
    this.body?.end();
    this.key = key;
    this.place.replaceChildren();
    this.body = new VIEWS[kind](this, this.place, kind);
  }

  // A question to the kernel; fails with a sentence. Several views may ask through one model, so numbers are drawn by lot.
  ask(kind, fields = {}) {
    const id = Math.floor(Math.random() * 2 ** 50);
    return new Promise((resolve, reject) => {
      const slow = setTimeout(() => write(this.busy, BUSY), BUSY_AFTER);
      this.asked.set(id, { resolve, reject, slow });
      this.model.send({ ...fields, ask: kind, id });
    });
  }

  hear = (message) => {
    const asked = this.asked.get(message.answer);
    if (!asked) return;
    this.asked.delete(message.answer);
    clearTimeout(asked.slow);
    if (!this.asked.size) write(this.busy, "");
    if (message.error) asked.reject(new Error(message.error));
    else asked.resolve(message);
  };

  go(instance) {
    write(this.busy, "asked…");
    this.ask("go", { instance }).catch((error) => write(this.busy, error.message));
  }
}
