// How tasks look on a time axis: the words for them, and the canvas they are painted on.

const ROW = 20;
const AXIS = 22;
const COLOURS = { Completed: "good", Failed: "bad", Running: "busy", Waiting: "wait", Held: "wait", Canceled: "still" };
const KINDS = {
  activity: ["activity", "M3.5 2.2 9.8 6 3.5 9.8z"],
  timer: ["timer", "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.4V6l1.9 1.3"],
  orchestration: ["sub-orchestration", "M3 1.5v9M3 7h3q2.8 0 2.8-2.8V2M7 3.6 8.8 1.8l1.8 1.8"],
  event: ["event", "M1.5 2.8h9v6.6h-9zM1.5 3.2 6 6.6l4.5-3.4"],
  entity: ["entity", "M2 3q0-1.4 4-1.4T10 3v6q0 1.4-4 1.4T2 9zM2 3q0 1.4 4 1.4T10 3"],
  signal: ["signal", "M1.5 6h8.5M6.8 2.8 10 6l-3.2 3.2"],
  lock: ["lock", "M2.5 5.5h7v5h-7zM4 5.5V4q0-2 2-2t2 2v1.5"],
  http: ["HTTP call", "M1.5 4h8.5M7.8 1.8 10 4 7.8 6.2M10.5 8.2H2M4.2 6 2 8.2l2.2 2.2"],
};
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500], ...[1e3, 6e4].flatMap((unit) => [1, 2, 5, 10, 15, 30].map((number) => number * unit)),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 36e5), ...[1, 2, 7, 14, 30, 90, 365].map((days) => days * 864e5),
];
const UNITS = [[864e5, "d"], [36e5, "h"], [6e4, "min"], [1e3, "s"]];

// "2 h 30 min" or "1.5 s": a time since the start that falls on a tick.
function offset(ms) {
  if (ms < 1e3) return ms ? `${ms} ms` : "0";
  const words = [];
  let rest = ms;
  for (const [unit, name] of UNITS) {
    const number = name === "s" ? rest / unit : Math.floor(rest / unit);
    if (number) words.push(`${number} ${name}`);
    rest %= unit;
  }
  return words.slice(0, 3).join(" ");
}

function taskWords(row, now) {
  const words = [];
  if (row.t?.length > 1) words.push(`${row.t.length} tries`);
  if (row.pc) words.push(many(row.pc, "poll"));
  if (row.x > now && !row.e) words.push(`next ${row.k === "http" ? "poll" : "try"} in ${left(row.x - now)}`);
  if (row.ra && !row.e) words.push(`Retry-After ${brief(row.ra)}`);
  if (row.u && !row.e) words.push(`until ${clock(row.u)}`, row.u > now && `in ${left(row.u - now)}`);
  return [...words, row.note, row.c && `instance ${row.c}`];
}

const kindOf = (row) => KINDS[row.k]?.[0] || row.k;

function taskTimes(row, now) {
  if (row.e == null) return `since ${clock(row.s, true)}, ${span(now - row.s)}`;
  return `${clock(row.s, true)} to ${clock(row.e, true)}, ${span(row.e - row.s, true)}`;
}

// Needs of its heir: view, picture, now, seen {from, to}, the elements area, frame, canvas and probe, row(index), selected and hovered.
class Painting {
  x(at) {
    return this.label + ((at - this.seen.from) / (this.seen.to - this.seen.from)) * this.plot;
  }

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
    const { canvas } = this;
    const [width, height] = [this.width, this.height].map((one) => Math.round(one * ratio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.label = Math.round(Math.min(240, Math.max(120, this.width * 0.28)));
    this.plot = Math.max(40, this.width - this.label - 8);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
  }

  ticks() {
    const { from, to } = this.seen;
    const start = this.picture.created || from;
    const step = STEPS.find((one) => (one / (to - from)) * this.plot >= 78) || STEPS.at(-1);
    const found = [];
    for (let at = Math.max(0, Math.ceil((from - start) / step) * step); start + at <= to; at += step) found.push([Math.round(this.x(start + at)) + 0.5, offset(at)]);
    return found;
  }

  faint(alpha, draw) {
    this.pen.globalAlpha = alpha;
    draw();
    this.pen.globalAlpha = 1;
  }

  within(x, y, width, height, draw) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    draw();
    pen.restore();
  }

  wide(text) {
    return this.pen.measureText(text).width;
  }

  inkOf(row) {
    return this.ink[COLOURS[row.st]] || this.ink.still;
  }

  upright(x, colour, alpha) {
    this.pen.strokeStyle = colour;
    this.faint(alpha, () => this.line(x, AXIS, x, this.height));
  }

  drawAxis() {
    const { pen, ink } = this;
    pen.strokeStyle = ink.line;
    this.line(0, AXIS - 0.5, this.width, AXIS - 0.5);
    this.line(this.label - 6.5, 0, this.label - 6.5, this.height);
    pen.fillStyle = ink.quiet;
    if (this.picture.created) pen.fillText(this.cut(`since ${clock(this.picture.created)}`, this.label - 24), 8, AXIS / 2);
    for (const [x, text] of this.ticks()) if (x >= this.label - 2 && x + this.wide(text) + 5 < this.width) pen.fillText(text, x + 3, AXIS / 2);
  }

  drawNow() {
    const x = Math.round(this.x(this.now)) + 0.5;
    if (!this.picture.over && x >= this.label) this.upright(x, this.ink.busy, 0.55);
  }

  line(x, y, toX, toY, dash = []) {
    const { pen } = this;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
    pen.stroke();
    pen.setLineDash([]);
  }

  cut(text, room) {
    if (this.wide(text) <= room) return text;
    let length = Math.min(text.length, Math.floor(room / 4));
    while (length > 1 && this.wide(`${text.slice(0, length)}…`) > room) length--;
    return `${text.slice(0, length)}…`;
  }

  drawRow(index, y) {
    const row = this.row(index);
    if (index === this.selected || index === this.hovered) {
      this.pen.fillStyle = this.ink.line;
      this.faint(index === this.selected ? 0.9 : 0.45, () => this.pen.fillRect(0, y, this.width, ROW));
    }
    if (!row) return;
    this.within(this.label - 6, y, this.width - this.label + 6, ROW, () => this.drawBar(row, y));
    this.drawLabel(row, y);
  }

  drawLabel(row, y) {
    const { pen, ink } = this;
    pen.save();
    pen.translate(8, y + 4);
    pen.strokeStyle = this.inkOf(row);
    if (KINDS[row.k]) pen.stroke(new Path2D(KINDS[row.k][1]));
    pen.restore();
    const tries = row.t?.length > 1 ? `×${row.t.length}` : "";
    const wide = tries ? this.wide(tries) + 6 : 0;
    pen.fillStyle = ink.quiet;
    pen.fillText(tries, this.label - 6 - wide, y + ROW / 2);
    pen.save();
    pen.font = `12px ${this.font}`;
    pen.fillStyle = row.c ? ink.busy : ink.text;
    const room = this.label - 38 - wide;
    const name = this.cut(short(row.n || kindOf(row), room / 7), room);
    pen.fillText(name, 26, y + ROW / 2 + 0.5);
    if (row.c) pen.fillRect(26, y + ROW / 2 + 7, this.wide(name), 0.75);
    pen.restore();
  }

  block(from, to, y, alpha, height = 10) {
    const x = Math.max(this.x(from), this.label - 10);
    const width = Math.max(2, Math.min(this.x(to), this.width + 10) - x);
    this.pen.beginPath();
    this.pen.roundRect(x, y + (ROW - height) / 2, width, height, 2);
    this.faint(alpha, () => this.pen.fill());
    return [x, width];
  }

  drawBar(row, y) {
    const { pen } = this;
    const end = row.e ?? Math.max(this.now, row.s);
    const colour = (pen.fillStyle = pen.strokeStyle = this.inkOf(row));
    if (row.t?.length) this.drawTries(row, y, end, colour);
    else if (["activity", "orchestration", "entity"].includes(row.k)) this.block(row.s, end, y, row.k === "orchestration" ? 0.55 : 0.85);
    else this.drawWait(row, y, end);
    this.drawPolls(row.p || [], y);
    const due = row.e == null ? row.x || row.u : 0;
    if (due > this.now) this.drawDue(end, due, y);
    this.drawWords(row, y, Math.max(this.x(end), due > this.now ? this.x(due) + 6 : 0));
  }

  // Where they are too close to be told apart, some stand for all.
  drawPolls(polls, y) {
    let last = 0;
    for (const poll of polls) {
      const x = Math.round(this.x(poll));
      if (x - last < 4) continue;
      this.pen.fillRect(x - 1, y + 5, 2, 10);
      last = x;
    }
  }

  drawWait(row, y, end) {
    const [x, width] = this.block(row.s, end, y, 0.22);
    if (row.k !== "http") this.pen.setLineDash([3, 2]);
    this.faint(0.7, () => this.pen.strokeRect(x + 0.5, y + 5.5, Math.max(1, width - 1), 9));
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

  // Colour alone tells nobody enough: what is not simply done says so. Behind the bar, else before it, else on its end.
  drawWords(row, y, x) {
    const { pen, ink, width } = this;
    const isPlain = ["Completed", "Running"].includes(row.st);
    const text = list([row.e != null && span(row.e - row.s, true), !isPlain && row.st.toLowerCase()], " ");
    const wide = this.wide(text);
    const start = this.x(row.s) - wide - 6;
    let at = x + 6;
    if (!text || at < this.label - 4) return;
    if (at + wide > width - 4) at = start > this.label ? start : width - wide - 4;
    pen.fillStyle = ink.back;
    if (at < x) this.faint(0.8, () => pen.fillRect(at - 3, y + 4, wide + 6, 13));
    pen.fillStyle = row.st === "Failed" ? ink.bad : ink.quiet;
    pen.fillText(text, at, y + ROW / 2 + 0.5);
  }
}
