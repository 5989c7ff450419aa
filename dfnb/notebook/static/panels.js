// The tabs beside the timeline: lists of events, exchanges and printed lines, and what is in them.

const TEXT_PAGE = 65536;
const PAGES_SHOWN = 4;
const PRETTY_UP_TO = 200000;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
const COLOURED_UP_TO = 4000;

// Why a text is no JSON, or nothing.
function problemOf(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error.message;
  }
}

// JSON text with line breaks. Its own words are kept as they are written: a number is never read and written anew.
function pretty(text) {
  if (problemOf(text)) return null;
  const words = [];
  let depth = 0;
  const fresh = () => words.push("\n" + "  ".repeat(depth));
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
  if (word[0] === '"') return next === ": " ? "key" : "string";
  return /^[-\dtfn]/.test(word) ? "number" : "";
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
    this.node = hidden(h("div", "viewer",
      h("div", "tools", this.title = h("span", "viewer-title"), this.extent = h("span", "quiet"),
        this.earlier = button("Earlier", () => this.turn(-1)), this.more = button("More", () => this.turn(1)),
        this.raw = button("Raw", () => { this.isRaw = !this.isRaw; this.draw(); }), this.copy = copyButton(() => this.text())),
      this.body = h("pre", "text", { tabindex: 0 })));
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
    set(this.raw, { "aria-pressed": this.isRaw });
    this.earlier.hidden = this.pages[0].number === 0;
    this.more.hidden = this.pages.at(-1).number + 1 >= this.count();
    write(this.copy, isWhole ? "Copy" : "Copy shown");
    write(this.extent, isWhole ? size(this.bytes) : this.place());
  }

  place() {
    const first = this.pages[0].number * TEXT_PAGE + 1;
    const last = Math.min(this.total, (this.pages.at(-1).number + 1) * TEXT_PAGE);
    return `characters ${whole(first)} to ${whole(last)} of ${whole(this.total)}`;
  }
}

// A line to take into a cell.
const snippet = (text) => h("div", "tools snippet", h("span", "quiet", "in a cell"), h("code", "mono", text), copyButton(() => text));

// ---- History

// What the kernel has in order and adds to: `kind` is both the question for rows and their class.
class RowsPanel {
  constructor(view, picture, kind, counted, options, lines) {
    this.counted = counted;
    this.list = new VirtualList({
      classes: kind, follow: !picture.over, fetch: async (from, count) => (await view.ask(kind, { from, count })).rows,
      state: (row) => row.bad && "Failed", ...options,
    }, lines);
  }

  show(picture) {
    this.list.show(picture.counts?.[this.counted] || 0, picture.epoch, picture.n, picture.over);
  }
}

class HistoryPanel extends RowsPanel {
  constructor(view, picture) {
    super(view, picture, "history", "events", {
      label: "History", titles: ["#", "time", "event", "about", "details"], pick: (row) => this.pick(row),
      cells: (row) => [row.n ?? row.i, clock(row.at, true), row.kind, row.name, this.details(row)],
    });
    this.viewers = [new Viewer(view), new Viewer(view)];
    this.node = h("div", "", this.list.node, this.note = h("div", "note"), ...this.viewers.map((one) => one.node));
  }

  details(row) {
    return list([row.until && `until ${clock(row.until)}`, row.took != null && span(row.took, true), row.note]);
  }

  pick(row) {
    write(this.note, `${clock(row.at, true)} ${row.kind} ${row.name || ""} ${this.details(row)}`);
    this.viewers.forEach((viewer, at) => {
      const what = row.has?.[at];
      if (what) viewer.open(`${row.name || row.kind}: ${what}`, { i: row.i, what });
      else viewer.close();
    });
  }
}

// ---- HTTP

function side(view, title) {
  const parts = { line: h("div", "mono first"), headers: h("dl", "headers mono"), viewer: new Viewer(view) };
  return { ...parts, node: h("section", "side", h("h4", "", title), parts.line, parts.headers, parts.viewer.node) };
}

class HttpPanel {
  constructor(view, picture) {
    this.view = view;
    this.sides = { request: side(view, "Request"), response: side(view, "Response") };
    this.inspector = hidden(h("div", "inspector", ...Object.values(this.sides).map((one) => one.node)));
    this.chip = hidden(set(button("", () => this.only(null), "chip"), { title: "Show all exchanges" }));
    this.list = this.makeList(picture);
    this.node = h("div", "", this.chip, this.list.node, this.note = h("div", "note"), this.inspector,
      picture.where ? "" : snippet(`dfnb.instance(${JSON.stringify(picture.id)}).http().df()`));
  }

  makeList(picture) {
    return new VirtualList({
      label: "HTTP exchanges", classes: "http", titles: ["time", "purpose", "request", "answer", "took", "size", "note"],
      follow: !picture.over, fetch: (from, count) => this.fetch(from, count), isOpen: (row) => row.status == null && !row.error,
      cells: (row) => [clock(row.at), row.purpose, short(`${row.method} ${row.url}`, 28), row.text || row.error || "under way", row.took == null ? "" : span(row.took, true), size(row.bytes), this.more(row)],
      whole: (row) => [row.method, row.url, this.more(row)], state: (row) => row.state, pick: (row) => this.pick(row),
    });
  }

  more(row) {
    return list([row.asked && `Retry-After ${brief(row.asked)}`, row.waited && `waited ${span(row.waited, true)}`, row.note]);
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
    fill(this.chip, row && `only ${row.n} ×`);
    this.version = (this.version || 0) + 1;
    this.list.node.scrollTop = 0;
    this.show(this.picture);
  }

  show(picture) {
    this.picture = picture;
    this.list.show(this.filter ? this.total : picture.counts?.exchanges || 0, `${picture.epoch} ${this.version}`, picture.n, picture.over);
  }

  async pick(row) {
    this.picked = row.i;
    const about = list([this.more(row), row.error]);
    write(this.note, about || "asked…");
    try {
      const exchange = await this.view.ask("exchange", { i: row.i });
      if (this.picked !== row.i) return;
      this.inspector.hidden = false;
      for (const name of ["request", "response"]) this.fill(name, exchange[name], row.i);
      write(this.note, about);
    } catch (error) {
      write(this.note, error.message);
    }
  }

  fill(name, message, exchange) {
    const { line, headers, viewer } = this.sides[name];
    write(line, message ? message.line : "no answer");
    headers.replaceChildren(...(message?.headers || []).flatMap(([key, value]) => [h("dt", "", key), h("dd", "", value)]));
    const text = message?.binary ? `(${whole(message.bytes)} bytes that are no text)` : message?.text;
    if (text) viewer.open("body", { x: exchange, side: name }, message.bytes, { ...message, text });
    else viewer.close();
  }
}

// ---- Payloads

class PayloadsPanel {
  constructor(view) {
    Object.assign(this, { view, rows: [] });
    this.viewer = new Viewer(view);
    this.list = new VirtualList({
      label: "Payloads", classes: "labels", fetch: async (from, count) => this.rows.slice(from, from + count),
      cells: (row) => [row.label, size(row.bytes)], pick: (row) => this.viewer.open(row.label, row.of, row.bytes),
    }, 16);
    this.node = h("div", "payloads", this.list.node, this.viewer.node);
  }

  // What there is changes with the history, so that is what decides about asking again.
  show(picture) {
    renew(this, `${picture.epoch} ${picture.counts?.events} ${picture.over}`, this.list.empty, async () => {
      ({ rows: this.rows } = await this.view.ask("payloads"));
      this.list.show(this.rows.length, this.stamp, 0, picture.over);
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
    this.list.options.pick(this.rows[index]);
    this.list.selected = index;
    this.list.node.scrollTop = index * this.list.height;
    this.list.draw();
  }
}

// ---- Logs

class LogsPanel extends RowsPanel {
  constructor(view, picture) {
    super(view, picture, "logs", "logs", {
      label: "Logs", titles: ["time", "stream", "text"],
      cells: (row) => [clock(row.at, true), row.stream, row.text], pick: (row) => write(this.note, row.text.slice(0, TEXT_PAGE)),
    }, 16);
    this.node = h("div", "", this.list.node, this.note = h("pre", "note"));
  }
}

// ---- Code

class CodePanel {
  constructor(view) {
    this.view = view;
    this.node = h("div", "", this.note = h("div", "note"),
      this.source = h("div", "source mono", { tabindex: 0, role: "region", "aria-label": "Source" }));
  }

  show(picture) {
    renew(this, `${picture.epoch} ${picture.counts?.events} ${picture.code}`, this.note, async () => this.fill(await this.view.ask("code")));
  }

  fill({ source, line, version, note }) {
    write(this.note, list([version && `version ${version}`, note], ": "));
    if (source !== this.shown) this.source.replaceChildren(...source.trimEnd().slice(0, TEXT_PAGE).split("\n").map((text) => h("div", "", text || " ")));
    this.shown = source;
    [...this.source.children].forEach((node, at) => node.toggleAttribute("aria-current", at + 1 === line));
    const current = this.source.children[line - 1];
    if (line && line !== this.line) this.source.scrollTop = Math.max(0, current.offsetTop - this.source.offsetTop - this.source.clientHeight / 2);
    this.line = line;
  }
}
