// The tasks of one instance on a time axis: a canvas that shows only the rows in sight, below an empty element that scrolls.

const ROWS_SEEN = 14;

class Timeline extends Painting {
  constructor(view, open) {
    super();
    Object.assign(this, { view, open, older: new Map(), fetched: new Set(), selected: -1, hovered: -1, range: null });
    this.frame = h("div", "frame",
      this.canvas = h("canvas", "", { "aria-hidden": true }),
      this.area = h("div", "area", { tabindex: 0, role: "group" }, this.space = h("div")),
      this.tip = hidden(h("div", "tip")),
      this.said = h("div", "hidden", { role: "status" }),
      this.probe = h("span", "hidden"));
    this.node = h("div", "timeline", this.tools(), this.frame, this.texts());
    this.listen();
  }

  tools() {
    const named = (text, label, act) => set(button(text, act), { "aria-label": label, title: label });
    return h("div", "tools", named("−", "Zoom out", () => this.zoom(2)), named("+", "Zoom in", () => this.zoom(0.5)),
      named("All", "Show all of the time", () => this.zoom(0)),
      this.hint = h("span", "quiet hint", "Ctrl + wheel zooms, drag pans, double-click opens"),
      this.asText = set(button("As text", () => this.toggle()), { "aria-pressed": false }));
  }

  texts() {
    this.list = new VirtualList({
      label: "Tasks as text", classes: "tasks", titles: ["kind", "name", "state", "times", "more"],
      cells: (row) => [kindOf(row), short(row.n, 30), row.st, taskTimes(row, this.now), list(taskWords(row, this.now))],
      whole: (row) => this.describe(row), state: (row) => row.st, pick: (row) => this.told(row),
      isOpen: (row) => row.e == null, fetch: (from, count) => this.fetch(from, count),
    });
    return (this.lines = hidden(h("div", "", this.list.node, this.note = h("div", "note"))));
  }

  told(row) {
    this.note.replaceChildren(list(this.describe(row)), " ", row.c ? link("show it", () => this.view.go(row.c)) : "");
  }

  toggle() {
    const isText = this.frame.hidden;
    this.frame.hidden = this.hint.hidden = !isText;
    this.lines.hidden = isText;
    set(this.asText, { "aria-pressed": !isText });
    this.draw();
  }

  listen() {
    set(this.area, {
      scroll: () => this.scrolled(), wheel: (event) => this.wheeled(event), keydown: (event) => this.pressed(event),
      pointerdown: (event) => this.grabbed(event), pointermove: (event) => this.moved(event), pointerup: (event) => this.released(event),
      pointercancel: () => { this.drag = null; }, pointerleave: () => this.hover(-1), blur: () => this.hover(-1),
      dblclick: (event) => this.enter(this.row(this.at(event).index)),
    });
    this.sizes = new ResizeObserver(() => this.later());
    this.sizes.observe(this.frame);
  }

  // What a key has chosen stays told; what only lay under the pointer does not.
  scrolled() {
    this.isAtEnd = isAtEnd(this.area);
    if (!this.place?.isKey) this.hover(-1);
    this.later();
  }

  end() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.asked);
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
    set(this.area, { "aria-label": `Timeline of ${many(this.total, "task")}: arrow keys select one, Enter opens it, plus and minus zoom, 'As text' lists all` });
    this.frame.style.height = `${AXIS + ROW * clamp(this.total, 1, ROWS_SEEN)}px`;
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
    return { from: from - lasts * 0.01, to: next + lasts * (90 / Math.max(200, this.plot || 600)) };
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

  // ---- drawing

  draw() {
    this.asked = 0;
    if (!this.picture) return;
    if (this.frame.hidden) return this.list.show(this.total, this.epoch, this.picture.n, this.picture.over);
    const pen = (this.pen = this.size());
    if (!this.width) return;
    this.ink = this.colours();
    this.seen = this.window();
    this.font = getComputedStyle(this.frame).fontFamily;
    pen.font = `11px ${this.font}`;
    pen.clearRect(0, 0, this.width, this.height);
    pen.textBaseline = "middle";
    pen.lineWidth = 1;
    const top = this.area.scrollTop;
    const first = Math.floor(top / ROW);
    const last = Math.min(this.total, Math.ceil((top + this.height - AXIS) / ROW));
    this.within(0, AXIS, this.width, this.height, () => {
      for (const [x] of this.ticks()) this.upright(x, this.ink.line, 0.6);
      for (let index = first; index < last; index++) this.drawRow(index, AXIS + index * ROW - top);
      this.drawNow();
    });
    this.drawAxis();
    if (!this.total) pen.fillText(this.picture.over ? "no tasks" : "no tasks yet", 8, AXIS + ROW / 2);
    this.want(first, last);
    this.tell();
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
    else this.zoom(Math.exp(clamp(event.deltaY, -60, 60) / 100), clamp((this.at(event).x - this.label) / this.plot, 0, 1));
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
    write(this.said, row ? list(this.describe(row)) : "");
    this.later();
  }

  pressed(event) {
    const step = stepOf(event.key, ROWS_SEEN, this.total);
    const acts = {
      ArrowLeft: () => this.pan(-60), ArrowRight: () => this.pan(60), Enter: () => this.enter(this.row(this.selected)), Escape: () => this.hover(-1),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.zoom(0),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(step || event.key in acts)) return;
    take(event);
    if (step) this.step(step);
    else acts[event.key]();
  }

  step(by) {
    const seen = Math.floor(this.area.scrollTop / ROW);
    const index = clamp((this.selected < 0 ? seen - Math.sign(by) : this.selected) + by, 0, this.total - 1);
    bringIntoView(this.area, index * ROW, this.area.clientHeight - ROW);
    this.select(index);
    this.hover(index, { x: this.label, isKey: true });
  }

  enter(row) {
    if (row?.c) this.view.go(row.c);
    else if (row) this.open(row);
  }

  describe(row) {
    return [`${kindOf(row)} ${row.n}`, row.st, taskTimes(row, this.now), ...taskWords(row, this.now)];
  }

  hover(index, place) {
    if (index !== this.hovered) this.later();
    this.hovered = index;
    this.place = place;
    const row = this.row(index);
    this.area.style.cursor = row?.c && place.x < this.label - 6 ? "pointer" : "";
    this.tell();
  }

  tell() {
    const row = this.row(this.hovered);
    this.tip.hidden = !row;
    if (!row) return;
    writeLines(this.tip, this.describe(row).filter(Boolean));
    const low = AXIS + (this.hovered + 1) * ROW - this.area.scrollTop + 4;
    this.tip.style.visibility = low < AXIS || low > this.height + ROW + 4 ? "hidden" : "";
    const high = low - ROW - 8 - this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(4, Math.min(this.place.x + 12, this.width - this.tip.offsetWidth - 8))}px`;
    this.tip.style.top = `${low + this.tip.offsetHeight > this.height + 30 && high > -60 ? high : low}px`;
  }
}
