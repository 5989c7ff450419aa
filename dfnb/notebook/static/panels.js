// The tabs beside the timeline: lists of events, exchanges and printed lines, and what is in them.

const TEXT_PAGE = 65536;
const PAGES_SHOWN = 4;
const PRETTY_UP_TO = 200000;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
const COLOURED_UP_TO = 4000;

// JSON text with line breaks. Its own words are kept as they are written: a number is never read and written anew.
function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const words = [];
  let depth = 0;
  const fresh = () => words.push(`\n${"  ".repeat(depth)}`);
  const tokens = text.match(TOKENS) || [];
  tokens.forEach((token, at) => {
    const isEmpty = "]}".includes(tokens[at + 1]) || "[{".includes(tokens[at - 1]);
    if ("]}".includes(token)) {
      depth--;
      if (!"[{".includes(tokens[at - 1])) fresh();
    }
    words.push(token === ":" ? ": " : token);
    if ("[{".includes(token)) depth++;
    if (token === "," || ("[{".includes(token) && !(isEmpty && "]}".includes(tokens[at + 1])))) fresh();
  });
  return words;
}

function tokenClass(word, next) {
  if (word[0] === '"') return next === ": " ? "dfnb-key" : "dfnb-string";
  return /^[-\dtfn]/.test(word) ? "dfnb-number" : "";
}

function writeTokens(node, words) {
  if (words.length > COLOURED_UP_TO) return write(node, words.join(""));
  node.replaceChildren(...words.map((word, at) => {
    const cls = tokenClass(word, words[at + 1]);
    return cls ? h("span", cls, word) : word;
  }));
}

// Shows one text of any length: JSON laid out if it is short, else a few pages of it at a time.
class Viewer {
  constructor(view) {
    Object.assign(this, { view, ticket: 0, isRaw: false, pages: [] });
    this.title = h("span", "dfnb-viewer-title");
    this.extent = h("span", "dfnb-quiet");
    this.raw = set(button("Raw", () => { this.isRaw = !this.isRaw; this.draw(); }), { "aria-pressed": "false" });
    this.copy = copyButton(() => this.text());
    this.earlier = button("Earlier", () => this.turn(-1));
    this.more = button("More", () => this.turn(1));
    this.body = set(h("pre", "dfnb-text"), { tabindex: 0 });
    const bar = h("div", "dfnb-tools", this.title, this.extent, this.earlier, this.more, this.raw, this.copy);
    this.node = h("div", "dfnb-viewer", bar, this.body);
    this.node.hidden = true;
  }

  text() {
    return this.pages.map((page) => page.text).join("");
  }

  // `first` is the beginning if one has it already: {text, more}.
  async open(title, of, bytes, first) {
    const ticket = ++this.ticket;
    Object.assign(this, { of, bytes, isRaw: false, pages: [] });
    this.node.hidden = false;
    write(this.title, title);
    write(this.extent, "asked…");
    write(this.body, "");
    try {
      const page = first && !first.more ? { text: first.text, total: 0 } : await this.load(0);
      if (ticket !== this.ticket) return;
      this.total = page.total || page.text.length;
      this.pages = [{ number: 0, text: page.text }];
      if (this.total <= PRETTY_UP_TO) await this.rest(ticket);
      if (ticket === this.ticket) this.draw();
    } catch (error) {
      if (ticket === this.ticket) write(this.extent, error.message);
    }
  }

  close() {
    this.ticket++;
    this.node.hidden = true;
  }

  load(number) {
    return this.view.ask("payload", { of: this.of, from: number * TEXT_PAGE, count: TEXT_PAGE });
  }

  async rest(ticket) {
    for (let number = 1; number < this.count() && ticket === this.ticket; number++) {
      const { text } = await this.load(number);
      this.pages.push({ number, text });
    }
  }

  count() {
    return Math.ceil(this.total / TEXT_PAGE);
  }

  async turn(by) {
    const ticket = this.ticket;
    const number = by > 0 ? this.pages.at(-1).number + 1 : this.pages[0].number - 1;
    this.more.disabled = this.earlier.disabled = true;
    const { text } = await this.load(number).catch((error) => ({ text: error.message }));
    this.more.disabled = this.earlier.disabled = false;
    if (ticket !== this.ticket) return;
    this.pages = by > 0 ? [...this.pages, { number, text }].slice(-PAGES_SHOWN) : [{ number, text }, ...this.pages].slice(0, PAGES_SHOWN);
    this.draw();
  }

  draw() {
    const isWhole = this.pages.length >= this.count();
    const words = isWhole && this.total <= PRETTY_UP_TO ? pretty(this.text()) : null;
    const isPretty = words && !this.isRaw && words.reduce((sum, word) => sum + word.length, 0) <= PAGES_SHOWN * TEXT_PAGE;
    if (isPretty) writeTokens(this.body, words);
    else write(this.body, this.text());
    this.raw.hidden = !words;
    set(this.raw, { "aria-pressed": String(this.isRaw) });
    this.earlier.hidden = this.pages[0].number === 0;
    this.more.hidden = this.pages.at(-1).number + 1 >= this.count();
    write(this.copy, isWhole ? "Copy" : "Copy shown");
    write(this.extent, isWhole ? size(this.bytes) : this.place());
  }

  place() {
    const first = this.pages[0].number * TEXT_PAGE + 1;
    const last = Math.min(this.total, (this.pages.at(-1).number + 1) * TEXT_PAGE);
    return `characters ${first.toLocaleString("en")} to ${last.toLocaleString("en")} of ${this.total.toLocaleString("en")}`;
  }
}

// A line to take into a cell.
function snippet(text) {
  return h("div", "dfnb-tools dfnb-snippet", h("span", "dfnb-quiet", "in a cell"), h("code", "dfnb-mono", text), copyButton(() => text));
}

// ---- History

class HistoryPanel {
  constructor(view, picture) {
    this.viewers = [new Viewer(view), new Viewer(view)];
    this.note = h("div", "dfnb-note");
    this.list = new VirtualList({
      label: "History", className: "dfnb-history", titles: ["#", "time", "event", "about", "details"], follow: !picture.over,
      fetch: async (from, count) => (await view.ask("history", { from, count })).rows,
      cells: (row) => [row.n ?? row.i, clock(row.at, true), row.kind, row.name, this.details(row)],
      state: (row) => (row.bad ? "Failed" : ""), pick: (row) => this.pick(row),
    });
    this.node = h("div", "", this.list.node, this.note, ...this.viewers.map((one) => one.node));
  }

  details(row) {
    const words = [row.until && `until ${clock(row.until)}`, row.took != null && span(row.took, true), row.note];
    return words.filter(Boolean).join(", ");
  }

  pick(row) {
    write(this.note, `${clock(row.at, true)} ${row.kind} ${row.name || ""} ${this.details(row)}`);
    this.viewers.forEach((viewer, at) => {
      const what = row.has?.[at];
      if (what) viewer.open(`${row.name || row.kind}: ${what}`, { i: row.i, what });
      else viewer.close();
    });
  }

  show(picture) {
    this.list.show(picture.counts?.events || 0, picture.epoch, picture.n);
  }

  end() {
    this.list.end();
  }
}

// ---- HTTP

function side(title) {
  const parts = { line: h("div", "dfnb-mono dfnb-first"), headers: h("dl", "dfnb-headers dfnb-mono") };
  return { ...parts, node: h("section", "dfnb-side", h("h4", "", title), parts.line, parts.headers) };
}

class HttpPanel {
  constructor(view, picture) {
    this.view = view;
    this.sides = { request: side("Request"), response: side("Response") };
    this.inspector = h("div", "dfnb-inspector");
    for (const one of Object.values(this.sides)) {
      one.viewer = new Viewer(view);
      one.node.append(one.viewer.node);
      this.inspector.append(one.node);
    }
    this.inspector.hidden = true;
    this.note = h("div", "dfnb-note");
    this.chip = button("", () => this.only(null), "dfnb-chip");
    this.chip.hidden = true;
    this.list = this.makeList(picture);
    this.node = h("div", "", this.chip, this.list.node, this.note, this.inspector, picture.where ? "" : snippet(`dfnb.instance(${JSON.stringify(picture.id)}).http().df()`));
  }

  makeList(picture) {
    return new VirtualList({
      label: "HTTP exchanges", className: "dfnb-http", titles: ["time", "purpose", "request", "answer", "took", "size", "note"],
      follow: !picture.over, fetch: (from, count) => this.fetch(from, count), isOpen: (row) => row.status == null && !row.error,
      cells: (row) => [clock(row.at), row.purpose, `${row.method} ${row.url}`, row.text || row.error || "under way", row.took == null ? "" : span(row.took, true), size(row.bytes), this.more(row)],
      state: (row) => row.state, pick: (row) => this.pick(row),
    });
  }

  more(row) {
    const asked = row.asked ? `Retry-After ${brief(row.asked)}` : "";
    return [asked, row.waited ? `waited ${span(row.waited, true)}` : "", row.note].filter(Boolean).join(", ");
  }

  async fetch(from, count) {
    const { rows, total } = await this.view.ask("http", { from, count, ...this.filter });
    if (this.filter && rows.some((row) => row.task !== this.filter.task)) this.only(null);
    else if (this.filter && this.total !== total) {
      this.total = total;
      this.view.redraw();
    }
    return rows;
  }

  // Only the exchanges of one task of the timeline.
  only(row) {
    this.filter = row && { task: row.id, g: row.g };
    this.total = row && (row.pc || 0) + 1;
    this.chip.hidden = !row;
    write(this.chip, row ? `only ${row.n} ×` : "");
    this.chip.title = "Show all exchanges";
    this.version = (this.version || 0) + 1;
    this.list.node.scrollTop = 0;
    this.show(this.picture);
  }

  show(picture) {
    this.picture = picture;
    this.list.show(this.filter ? this.total : picture.counts?.exchanges || 0, `${picture.epoch} ${this.version}`, picture.n);
  }

  async pick(row) {
    this.picked = row.i;
    write(this.note, [this.more(row), row.error].filter(Boolean).join(", ") || "asked…");
    try {
      const exchange = await this.view.ask("exchange", { i: row.i });
      if (this.picked !== row.i) return;
      this.inspector.hidden = false;
      for (const name of ["request", "response"]) this.fill(name, exchange[name], row.i);
      write(this.note, [this.more(row), row.error].filter(Boolean).join(", "));
    } catch (error) {
      write(this.note, error.message);
    }
  }

  fill(name, message, exchange) {
    const { line, headers, viewer } = this.sides[name];
    write(line, message ? message.line : "no answer");
    headers.replaceChildren(...(message?.headers || []).flatMap(([key, value]) => [h("dt", "", key), h("dd", "", value)]));
    const bytes = message?.bytes ?? 0;
    if (message && (message.text || message.more)) viewer.open(message.binary ? "body (binary)" : "body", { x: exchange, side: name }, bytes, message);
    else viewer.close();
  }

  end() {
    this.list.end();
  }
}

// ---- Payloads

class PayloadsPanel {
  constructor(view) {
    Object.assign(this, { view, rows: [], filter: null });
    this.viewer = new Viewer(view);
    this.list = new VirtualList({
      label: "Payloads", className: "dfnb-labels", fetch: async (from, count) => this.rows.slice(from, from + count),
      cells: (row) => [row.label, size(row.bytes)], pick: (row) => this.viewer.open(row.label, row.of, row.bytes),
    }, 16);
    this.node = h("div", "dfnb-payloads", this.list.node, this.viewer.node);
  }

  // What there is changes with the history, so that is what decides about asking again.
  show(picture) {
    renew(this, `${picture.epoch} ${picture.counts?.events} ${picture.over}`, this.list.empty, async () => {
      ({ rows: this.rows } = await this.view.ask("payloads"));
      this.list.show(this.rows.length, this.stamp);
      this.choose();
    });
  }

  // The payloads of one task of the timeline.
  only(row) {
    this.filter = row;
    this.choose();
  }

  choose() {
    if (!this.rows.length || (!this.filter && this.list.selected >= 0)) return;
    const wanted = this.filter;
    const index = wanted ? this.rows.findIndex((row) => row.task === wanted.id && (row.g ?? wanted.g) === wanted.g) : 0;
    this.filter = null;
    if (index < 0) return;
    this.viewer.open(this.rows[index].label, this.rows[index].of, this.rows[index].bytes);
    this.list.selected = index;
    this.list.node.scrollTop = index * this.list.height;
    this.list.draw();
  }

  end() {
    this.list.end();
  }
}

// ---- Logs

class LogsPanel {
  constructor(view, picture) {
    this.note = h("pre", "dfnb-note");
    this.list = new VirtualList({
      label: "Logs", className: "dfnb-logs", follow: !picture.over, titles: ["time", "stream", "text"],
      fetch: async (from, count) => (await view.ask("logs", { from, count })).rows,
      cells: (row) => [clock(row.at, true), row.stream, row.text], state: (row) => (row.bad ? "Failed" : ""),
      pick: (row) => write(this.note, row.text.slice(0, TEXT_PAGE)),
    }, 16);
    this.node = h("div", "", this.list.node, this.note);
  }

  show(picture) {
    this.list.show(picture.counts?.logs || 0, picture.epoch, picture.n);
  }

  end() {
    this.list.end();
  }
}

// ---- Code

class CodePanel {
  constructor(view) {
    this.view = view;
    this.note = h("div", "dfnb-note");
    this.source = set(h("div", "dfnb-source dfnb-mono"), { tabindex: 0, role: "region", "aria-label": "Source" });
    this.node = h("div", "", this.note, this.source);
  }

  show(picture) {
    renew(this, `${picture.epoch} ${picture.counts?.events} ${picture.code}`, this.note, async () => this.fill(await this.view.ask("code")));
  }

  fill({ source, line, version, note }) {
    write(this.note, [version && `version ${version}`, note].filter(Boolean).join(": "));
    if (source !== this.shown) this.source.replaceChildren(...source.trimEnd().slice(0, TEXT_PAGE).split("\n").map((text) => h("div", "", text || " ")));
    this.shown = source;
    [...this.source.children].forEach((node, at) => node.toggleAttribute("aria-current", at + 1 === line));
    const current = this.source.children[line - 1];
    if (line && line !== this.line) this.source.scrollTop = Math.max(0, current.offsetTop - this.source.offsetTop - this.source.clientHeight / 2);
    this.line = line;
  }

  end() {}
}
