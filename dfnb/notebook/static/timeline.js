// The tasks of one instance on a time axis: a canvas that shows only the rows in sight, below an empty element that scrolls.

const ROW = 20;
const AXIS = 22;
const ROWS_SEEN = 14;
const COLOURS = { Completed: "good", Failed: "bad", Running: "busy", Waiting: "wait", Held: "wait", Canceled: "still" };
const KINDS = {
  activity: ["activity", new Path2D("M3.5 2.2 9.8 6 3.5 9.8z")],
  timer: ["timer", new Path2D("M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.4V6l1.9 1.3")],
  orchestration: ["sub-orchestration", new Path2D("M3 1.5v9M3 7h3q2.8 0 2.8-2.8V2M7 3.6 8.8 1.8l1.8 1.8")],
  event: ["event", new Path2D("M1.5 2.8h9v6.6h-9zM1.5 3.2 6 6.6l4.5-3.4")],
  entity: ["entity", new Path2D("M2 3q0-1.4 4-1.4T10 3v6q0 1.4-4 1.4T2 9zM2 3q0 1.4 4 1.4T10 3")],
  signal: ["signal", new Path2D("M1.5 6h8.5M6.8 2.8 10 6l-3.2 3.2")],
  lock: ["lock", new Path2D("M2.5 5.5h7v5h-7zM4 5.5V4q0-2 2-2t2 2v1.5")],
  http: ["HTTP call", new Path2D("M1.5 4h8.5M7.8 1.8 10 4 7.8 6.2M10.5 8.2H2M4.2 6 2 8.2l2.2 2.2")],
};
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500], ...[1, 2, 5, 10, 15, 30].map((s) => s * 1e3), ...[1, 2, 5, 10, 15, 30].map((m) => m * 6e4),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 36e5), ...[1, 2, 7, 14, 30, 90, 365].map((days) => days * 864e5),
];
const UNITS = [[864e5, "d"], [36e5, "h"], [6e4, "min"], [1e3, "s"], [1, "ms"]];

// "2 h 30 min": a time since the start, as exact as the distance between two ticks.
function offset(milliseconds, step) {
  const words = [];
  let rest = milliseconds;
  for (const [unit, name] of UNITS) {
    const number = Math.floor(rest / unit);
    if (number) words.push(`${number} ${name}`);
    rest -= number * unit;
    if (unit <= step && words.length) break;
  }
  return words.slice(0, 3).join(" ") || "0";
}

function taskWords(row, now) {
  const words = [];
  if (row.t?.length > 1) words.push(`${row.t.length} tries`);
  if (row.pc) words.push(many(row.pc, "poll"));
  if (row.x > now && !row.e) words.push(`next ${row.k === "http" ? "poll" : "try"} in ${left(row.x - now)}`);
  if (row.ra && !row.e) words.push(`Retry-After ${brief(row.ra)}`);
  if (row.u && !row.e) words.push(`until ${clock(row.u)}${row.u > now ? `, in ${left(row.u - now)}` : ""}`);
  return [...words, row.note].filter(Boolean);
}

function taskTimes(row, now) {
  if (row.e == null) return `since ${clock(row.s, true)}, ${span(now - row.s)}`;
  return `${clock(row.s, true)} to ${clock(row.e, true)}, ${span(row.e - row.s, true)}`;
}

class Timeline {
  constructor(view, open) {
    Object.assign(this, { view, open, older: new Map(), fetched: new Set(), selected: -1, hovered: -1, range: null });
    this.node = h("div", "dfnb-timeline");
    this.frame = h("div", "dfnb-frame");
    this.canvas = this.frame.appendChild(set(h("canvas"), { "aria-hidden": "true" }));
    this.area = this.frame.appendChild(set(h("div", "dfnb-area"), { tabindex: 0, role: "group" }));
    this.space = this.area.appendChild(h("div"));
    this.tip = this.frame.appendChild(h("div", "dfnb-tip"));
    this.said = this.frame.appendChild(set(h("div", "dfnb-hidden"), { role: "status" }));
    this.probe = this.frame.appendChild(h("span", "dfnb-hidden"));
    this.tip.hidden = true;
    this.node.append(this.tools(), this.frame, this.texts());
    this.listen();
  }

  tools() {
    const named = (text, label, act) => set(button(text, act), { "aria-label": label, title: label });
    this.asText = set(button("As text", () => this.toggle()), { "aria-pressed": "false" });
    this.hint = h("span", "dfnb-quiet dfnb-hint", "Ctrl + wheel zooms, drag pans");
    return h("div", "dfnb-tools", named("−", "Zoom out", () => this.zoom(2)), named("+", "Zoom in", () => this.zoom(0.5)),
      named("All", "Show all of the time", () => this.zoom(0)), this.hint, this.asText);
  }

  texts() {
    this.list = new VirtualList({
      label: "Tasks as text", className: "dfnb-tasks", titles: ["kind", "name", "state", "times", "more"],
      cells: (row) => [KINDS[row.k]?.[0] ?? row.k, row.n, row.st, taskTimes(row, this.now), [...taskWords(row, this.now), row.c && `instance ${row.c}`].filter(Boolean).join(", ")],
      state: (row) => row.st, pick: (row) => row.c && this.view.go(row.c), follow: false,
      isOpen: (row) => row.e == null, fetch: async (from, count) => this.fetch(from, count),
    });
    this.list.node.hidden = true;
    return this.list.node;
  }

  toggle() {
    const isText = this.frame.hidden;
    this.frame.hidden = this.hint.hidden = !isText;
    this.list.node.hidden = isText;
    set(this.asText, { "aria-pressed": String(!isText) });
    this.draw();
  }

  listen() {
    const on = (name, act, options) => this.area.addEventListener(name, act, options);
    on("scroll", () => this.scrolled(), { passive: true });
    on("wheel", (event) => this.wheeled(event), { passive: false });
    on("keydown", (event) => this.pressed(event));
    on("pointerdown", (event) => this.grabbed(event));
    on("pointermove", (event) => this.moved(event));
    on("pointerup", (event) => this.released(event));
    on("pointercancel", () => { this.drag = null; });
    on("pointerleave", () => this.hover(-1));
    on("dblclick", (event) => this.enter(this.row(this.at(event).index)));
    on("blur", () => this.hover(-1));
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(this.frame);
  }

  // What a key has chosen stays told; what only lay under the pointer does not.
  scrolled() {
    this.isAtEnd = this.area.scrollTop + this.area.clientHeight >= this.area.scrollHeight - 4;
    if (!this.place?.isKey) this.hover(-1);
    this.later();
  }

  end() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.asked);
    this.list.end();
  }

  later() {
    this.asked ||= requestAnimationFrame(() => this.draw());
  }

  // ---- rows

  show(picture, now) {
    if (picture.epoch !== this.epoch) {
      this.older.clear();
      this.fetched.clear();
    }
    const isFirst = !this.picture;
    this.total = Math.max(picture.counts?.tasks || 0, ...Object.keys(picture.rows || {}).slice(-1).map((index) => Number(index) + 1));
    Object.assign(this, { picture, now, epoch: picture.epoch });
    this.area.setAttribute("aria-label", `Timeline of ${many(this.total, "task")}: arrow keys select one, Enter opens it, plus and minus zoom, “As text” lists all`);
    this.frame.style.height = `${AXIS + ROW * Math.min(Math.max(this.total, 1), ROWS_SEEN)}px`;
    this.space.style.height = `${ROW * this.total}px`;
    if (isFirst) this.isAtEnd = !picture.over;
    if (this.isAtEnd) this.area.scrollTop = this.area.scrollHeight;
    this.draw();
  }

  row(index) {
    return this.picture.rows?.[index] ?? this.older.get(index);
  }

  async fetch(from, count) {
    const missing = [];
    for (let index = from; index < Math.min(this.total, from + count); index++) if (!this.row(index)) missing.push(index);
    if (missing.length) await this.ask(missing[0], missing.at(-1) - missing[0] + 1);
    return Array.from({ length: Math.min(count, this.total - from) }, (_, at) => this.row(from + at)).filter(Boolean);
  }

  async ask(from, count) {
    const epoch = this.epoch;
    const { rows } = await this.view.ask("timeline", { from, count });
    if (epoch === this.epoch) for (const row of rows) this.older.set(row.i, row);
  }

  // One question at a time; what was scrolled past meanwhile is never asked for.
  async want(first, last) {
    let index = first;
    while (index < last && (this.row(index) || this.fetched.has(index))) index++;
    if (index >= last || this.isAsking) return;
    this.isAsking = true;
    const from = Math.max(0, index - 200);
    for (let one = from; one < from + 500; one++) this.fetched.add(one);
    await this.ask(from, 500).catch((error) => write(this.hint, error.message));
    this.isAsking = false;
    this.later();
  }

  // ---- time

  whole() {
    const from = this.picture.created || this.now;
    const end = this.picture.ended || this.now;
    const lasts = Math.max(end - from, 1);
    const due = Object.values(this.picture.rows || {}).slice(-50).map((row) => (row.e ? 0 : row.x || row.u || 0));
    const next = Math.max(...due.filter((at) => at < end + lasts), end);
    return { from: from - lasts * 0.01, to: Math.max(next, end) + lasts * 0.06 };
  }

  window() {
    return this.range || this.whole();
  }

  zoom(factor, anchor = 0.5) {
    const { from, to } = this.window();
    const middle = from + (to - from) * anchor;
    const lasts = Math.max((to - from) * factor, 2);
    this.range = factor ? { from: middle - lasts * anchor, to: middle + lasts * (1 - anchor) } : null;
    const whole = this.whole();
    if (factor > 1 && lasts >= whole.to - whole.from) this.range = null;
    this.later();
  }

  pan(pixels) {
    const { from, to } = this.window();
    const by = (pixels / this.plot) * (to - from);
    this.range = { from: from + by, to: to + by };
    this.later();
  }

  x(at) {
    return this.label + ((at - this.seen.from) / (this.seen.to - this.seen.from)) * this.plot;
  }

  // ---- drawing

  colours() {
    const names = ["good", "bad", "busy", "wait", "still", "line", "text", "quiet", "back"];
    return Object.fromEntries(names.map((name) => {
      this.probe.style.color = `var(--dfnb-${name})`;
      return [name, getComputedStyle(this.probe).color];
    }));
  }

  size() {
    const ratio = devicePixelRatio || 1;
    this.width = this.area.clientWidth;
    this.height = this.frame.clientHeight;
    const wanted = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== wanted[0] || this.canvas.height !== wanted[1]) [this.canvas.width, this.canvas.height] = wanted;
    this.label = Math.round(Math.min(240, Math.max(120, this.width * 0.28)));
    this.plot = Math.max(40, this.width - this.label - 8);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
  }

  draw() {
    this.asked = 0;
    if (!this.picture) return;
    if (this.frame.hidden) return this.list.show(this.total, this.epoch, this.picture.n);
    const pen = (this.pen = this.size());
    if (!this.width) return;
    this.ink = this.colours();
    this.seen = this.window();
    this.font = getComputedStyle(this.frame).fontFamily;
    pen.clearRect(0, 0, this.width, this.height);
    pen.textBaseline = "middle";
    pen.lineWidth = 1;
    const top = this.area.scrollTop;
    const first = Math.floor(top / ROW);
    const last = Math.min(this.total, Math.ceil((top + this.height - AXIS) / ROW));
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, this.width, this.height);
    pen.clip();
    this.drawGrid();
    for (let index = first; index < last; index++) this.drawRow(index, AXIS + index * ROW - top);
    this.drawNow();
    pen.restore();
    this.drawAxis();
    this.want(first, last);
    this.tell();
  }

  ticks() {
    const { from, to } = this.seen;
    const start = this.picture.created || from;
    const step = STEPS.find((one) => (one / (to - from)) * this.plot >= 78) || STEPS.at(-1);
    const found = [];
    for (let at = Math.max(0, Math.ceil((from - start) / step) * step); start + at <= to; at += step) found.push([Math.round(this.x(start + at)) + 0.5, offset(at, step)]);
    return found;
  }

  drawGrid() {
    this.pen.strokeStyle = this.ink.line;
    this.pen.globalAlpha = 0.6;
    for (const [x] of this.ticks()) this.line(x, AXIS, x, this.height);
    this.pen.globalAlpha = 1;
  }

  drawAxis() {
    const { pen, ink } = this;
    pen.strokeStyle = ink.line;
    this.line(0, AXIS - 0.5, this.width, AXIS - 0.5);
    this.line(this.label - 6.5, 0, this.label - 6.5, this.height);
    pen.font = `11px ${this.font}`;
    pen.fillStyle = ink.quiet;
    if (this.picture.created) pen.fillText(this.cut(`since ${clock(this.picture.created)}`, this.label - 24), 8, AXIS / 2);
    for (const [x, text] of this.ticks()) if (x >= this.label - 2 && x + pen.measureText(text).width < this.width) pen.fillText(text, x + 3, AXIS / 2);
  }

  drawNow() {
    const x = Math.round(this.x(this.now)) + 0.5;
    if (this.picture.over || x < this.label) return;
    this.pen.strokeStyle = this.ink.busy;
    this.pen.globalAlpha = 0.55;
    this.line(x, AXIS, x, this.height);
    this.pen.globalAlpha = 1;
  }

  line(x, y, toX, toY, dash = []) {
    this.pen.setLineDash(dash);
    this.pen.beginPath();
    this.pen.moveTo(x, y);
    this.pen.lineTo(toX, toY);
    this.pen.stroke();
    this.pen.setLineDash([]);
  }

  cut(text, room) {
    if (this.pen.measureText(text).width <= room) return text;
    let length = Math.min(text.length, Math.floor(room / 4));
    while (length > 1 && this.pen.measureText(`${text.slice(0, length)}…`).width > room) length--;
    return `${text.slice(0, length)}…`;
  }

  drawRow(index, y) {
    const { pen, ink } = this;
    const row = this.row(index);
    if (index === this.selected || index === this.hovered) {
      pen.fillStyle = ink.line;
      pen.globalAlpha = index === this.selected ? 0.9 : 0.45;
      pen.fillRect(0, y, this.width, ROW);
      pen.globalAlpha = 1;
    }
    if (!row) return;
    pen.save();
    pen.beginPath();
    pen.rect(this.label - 6, y, this.width - this.label + 6, ROW);
    pen.clip();
    this.drawBar(row, y, ink[COLOURS[row.st]] || ink.still);
    pen.restore();
    this.drawLabel(row, y);
  }

  drawLabel(row, y) {
    const { pen, ink } = this;
        pen.save();
    pen.translate(8, y + 4);
    pen.strokeStyle = ink[COLOURS[row.st]] || ink.still;
    if (KINDS[row.k]) pen.stroke(KINDS[row.k][1]);
    pen.restore();
    pen.font = `11px ${this.font}`;
    const tries = row.t?.length > 1 ? `×${row.t.length}` : "";
    const room = this.label - 38 - (tries ? pen.measureText(tries).width + 6 : 0);
    pen.fillStyle = ink.quiet;
    if (tries) pen.fillText(tries, this.label - 12 - pen.measureText(tries).width, y + ROW / 2);
    pen.font = `12px ${this.font}`;
    pen.fillStyle = row.c ? ink.busy : ink.text;
    const name = this.cut(row.n || KINDS[row.k]?.[0] || row.k, room);
    pen.fillText(name, 26, y + ROW / 2 + 0.5);
    if (row.c) pen.fillRect(26, y + ROW / 2 + 7, pen.measureText(name).width, 0.75);
  }

  block(from, to, y, alpha, height = 10) {
    const x = Math.max(this.x(from), this.label - 10);
    const width = Math.max(2, Math.min(this.x(to), this.width + 10) - x);
    this.pen.globalAlpha = alpha;
    this.pen.beginPath();
    this.pen.roundRect(x, y + (ROW - height) / 2, width, height, 2);
    this.pen.fill();
    this.pen.globalAlpha = 1;
    return [x, width];
  }

  drawBar(row, y, colour) {
    const { pen, ink } = this;
    const end = row.e ?? Math.max(this.now, row.s);
    pen.fillStyle = pen.strokeStyle = colour;
    if (row.t?.length) this.drawTries(row, y, end, colour);
    else if (row.k === "activity" || row.k === "orchestration" || row.k === "entity") this.block(row.s, end, y, row.k === "orchestration" ? 0.55 : 0.85);
    else this.drawWait(row, y, end);
    for (const poll of row.p || []) pen.fillRect(Math.round(this.x(poll)) - 1, y + 5, 2, 10);
    const due = row.e == null ? row.x || row.u : 0;
    if (due > this.now) this.drawDue(end, due, y);
    this.drawWords(row, y, Math.max(this.x(end), due > this.now ? this.x(due) + 6 : 0), ink);
  }

  drawWait(row, y, end) {
    const [x, width] = this.block(row.s, end, y, 0.22);
    if (row.k !== "http") this.pen.setLineDash([3, 2]);
    this.pen.globalAlpha = 0.7;
    this.pen.strokeRect(x + 0.5, y + 5.5, Math.max(1, width - 1), 9);
    this.pen.globalAlpha = 1;
    this.pen.setLineDash([]);
  }

  drawTries(row, y, end, colour) {
    this.block(row.s, end, y, 0.5, 2);
    for (const [from, to, ok] of row.t) {
      this.pen.fillStyle = to != null && !ok ? this.ink.bad : colour;
      this.block(from, to ?? end, y, 0.85);
    }
    this.pen.fillStyle = colour;
  }

  drawDue(from, due, y) {
    const [x, to] = [Math.max(this.x(from), this.label - 6), this.x(due)];
    this.line(x, y + ROW / 2 + 0.5, Math.min(to - 3, this.width), y + ROW / 2 + 0.5, [3, 3]);
    this.pen.beginPath();
    this.pen.arc(to, y + ROW / 2 + 0.5, 3, 0, 7);
    this.pen.stroke();
  }

  // Colour alone tells nobody enough: what is not simply done says so.
  drawWords(row, y, x, ink) {
    const words = [row.e == null ? "" : span(row.e - row.s, true), row.st === "Completed" || row.st === "Running" ? "" : row.st.toLowerCase()];
    const text = words.filter(Boolean).join(" ");
    this.pen.font = `11px ${this.font}`;
    this.pen.fillStyle = row.st === "Failed" ? ink.bad : ink.quiet;
    const wide = this.pen.measureText(text).width;
    const start = this.x(row.s) - wide - 6;
    const at = x + 6 + wide > this.width - 4 && start > this.label ? start : x + 6;
    if (text && at >= this.label - 4) this.pen.fillText(text, at, y + ROW / 2 + 0.5);
  }

  // ---- pointer and keys

  at(event) {
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const index = Math.floor((y - AXIS + this.area.scrollTop) / ROW);
    return { x, y, index: y > AXIS && index < this.total ? index : -1 };
  }

  wheeled(event) {
    const sideways = event.shiftKey ? event.deltaY : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
    if (!event.ctrlKey && !event.metaKey && !sideways) return;
    event.preventDefault();
    if (sideways) this.pan(sideways);
    else this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 100), Math.max(0, Math.min(1, (this.at(event).x - this.label) / this.plot)));
  }

  grabbed(event) {
    if (event.button === 0 && event.pointerType !== "touch") this.drag = { x: event.clientX, last: event.clientX, isMoved: false };
  }

  moved(event) {
    const { drag } = this;
    if (!drag) return this.hover(this.at(event).index, this.at(event));
    if (!drag.isMoved && Math.abs(event.clientX - drag.x) < 4) return;
    if (!drag.isMoved) this.area.setPointerCapture(event.pointerId);
    drag.isMoved = true;
    this.hover(-1);
    this.pan(drag.last - event.clientX);
    drag.last = event.clientX;
  }

  released(event) {
    const { isMoved } = this.drag || {};
    this.drag = null;
    const { index, x } = this.at(event);
    if (isMoved || index < 0) return;
    this.select(index);
    const row = this.row(index);
    if (row?.c && x < this.label - 6) this.view.go(row.c);
  }

  select(index) {
    this.selected = index;
    const row = this.row(index);
    write(this.said, row ? this.describe(row).join(", ") : "");
    this.later();
  }

  pressed(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: ROWS_SEEN, PageUp: -ROWS_SEEN, Home: -this.total, End: this.total };
    const acts = {
      ArrowLeft: () => this.pan(-60), ArrowRight: () => this.pan(60), Enter: () => this.enter(this.row(this.selected)), Escape: () => this.hover(-1),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.zoom(0),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in steps || event.key in acts)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key in acts) return acts[event.key]();
    this.step(steps[event.key]);
  }

  step(by) {
    const seen = Math.floor(this.area.scrollTop / ROW);
    const index = Math.max(0, Math.min(this.total - 1, (this.selected < 0 ? seen - Math.sign(by) : this.selected) + by));
    const room = this.area.clientHeight - ROW;
    if (index * ROW < this.area.scrollTop) this.area.scrollTop = index * ROW;
    if (index * ROW > this.area.scrollTop + room) this.area.scrollTop = index * ROW - room;
    this.select(index);
    this.hover(index, { x: this.label, isKey: true });
  }

  enter(row) {
    if (row?.c) this.view.go(row.c);
    else if (row) this.open(row);
  }

  describe(row) {
    return [`${KINDS[row.k]?.[0] ?? row.k} ${row.n}`, row.st, taskTimes(row, this.now), ...taskWords(row, this.now), row.c ? `instance ${row.c}` : ""].filter(Boolean);
  }

  hover(index, place) {
    if (index !== this.hovered) this.later();
    this.hovered = index;
    this.place = place;
    const row = index >= 0 && this.row(index);
    this.area.style.cursor = row?.c && place.x < this.label - 6 ? "pointer" : "";
    this.tell();
  }

  tell() {
    const row = this.hovered >= 0 && this.row(this.hovered);
    this.tip.hidden = !row;
    if (!row) return;
    const lines = this.describe(row);
    while (this.tip.children.length > lines.length) this.tip.lastChild.remove();
    lines.forEach((text, at) => write(this.tip.children[at] || this.tip.appendChild(h("div")), text));
    const low = AXIS + (this.hovered + 1) * ROW - this.area.scrollTop + 4;
    this.tip.style.visibility = low < AXIS || low > this.height + ROW + 4 ? "hidden" : "";
    const high = low - ROW - 8 - this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(4, Math.min(this.place.x + 12, this.width - this.tip.offsetWidth - 8))}px`;
    this.tip.style.top = `${low + this.tip.offsetHeight > this.height + 60 && high > -60 ? high : low}px`;
  }
}
