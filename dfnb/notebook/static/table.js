// Tables of instances, entities and definitions. The kernel tells the newest rows, older ones are asked for as one scrolls.
// Sorting is done here, over what is there; which rows there are is asked of the kernel.

const ROWS_KEPT = 10000;
const ROWS_AT_ONCE = 1000;
const OPEN = ["Running", "Pending", "ContinuedAsNew", "Suspended"];
const ENDED = ["Completed", "Failed", "Terminated", "Canceled"];
const STATUSES = [...OPEN, ...ENDED];
const ACTS_ON = { suspend: [OPEN[0], OPEN[2]], resume: [OPEN[3]], rewind: [ENDED[1]], terminate: OPEN, purge: ENDED };

const reasons = (row, now) => row.note || row.held || list((row.waits || []).map((wait) => waiting(wait, now)));

// By kind: its name for many, and columns: title, field or what is sorted by, and what is shown if that is another.
const TABLES = {
  table: ["Instances", [
    ["status", state], ["name", "name"], ["id", "id"], ["created", "created", (row) => clock(row.created)],
    ["elapsed", (row, now) => (row.ended || now) - row.created, elapsed], ["waiting for", reasons],
  ]],
  entities: ["Entities", [
    ["name", "name"], ["key", "key"], ["last operation", "last", (row) => clock(row.last)], ["operations", "operations"],
    ["waiting", "waiting", (row) => some(row.waiting)], ["locked by", "locked"], ["state", (row) => row.note || row.state],
  ]],
  definitions: ["Definitions", [
    ["kind", "kind"], ["name", "name"], ["version", "version"], ["running", "running", (row) => some(row.running)],
    ["", (row) => row.note || row.where],
  ]],
};

// ---- what is shown

// Counts over time; a click on a bar asks for its span.
class Bars {
  constructor(pick) {
    this.node = hidden(h("div", "",
      this.bars = h("div", "bars", { role: "img", click: ({ target }) => target.at && pick(...target.at) }),
      this.axis = h("div", "axis quiet")));
  }

  show(chart) {
    if (chart === this.chart) return;
    this.chart = chart;
    const series = STATUSES.map((name) => [name, chart?.series?.[name]]).filter(([, counts]) => counts);
    this.node.hidden = !series.length;
    if (!series.length) return;
    const { from, step } = chart;
    const sums = series[0][1].map((_, at) => series.reduce((sum, [, counts]) => sum + counts[at], 0));
    const highest = Math.max(...sums);
    const slots = Math.max(sums.length, 24);
    const ends = [clock(from), `most in ${brief(step)}: ${whole(highest)}`, clock(from + slots * step)];
    set(this.bars, { style: `--bars: ${slots}`, "aria-label": `created over time: ${ends.join(", ")}` });
    this.axis.replaceChildren(...ends.map((text) => h("span", "", text)));
    this.bars.replaceChildren(...sums.map((sum, at) => {
      const start = from + at * step;
      const parts = series.filter(([, counts]) => counts[at]).map(([name, counts]) => {
        const part = h("i", "", { "data-state": name, style: `height: ${(100 * counts[at]) / highest}%` });
        return [part, `${whole(counts[at])} ${name}`];
      });
      const bar = h("div", "", ...parts.map(([part]) => part));
      bar.at = [start, start + step - 1];
      bar.title = [clock(start), ...parts.map(([, text]) => text)].join("\n");
      return bar;
    }));
  }
}

// What the kernel is asked for. More may be chosen while it is busy: each question holds all that was chosen.
class Filters {
  constructor(grid) {
    this.grid = grid;
    this.bars = new Bars((from, to) => this.ask({ from, to }));
    this.node = h("div", "filters",
      this.chips = h("div", "tools"),
      h("div", "tools",
        this.name = h("select", "", { "aria-label": "name", change: () => this.ask({ name: this.name.value }) }),
        this.prefix = h("input", "",
          { type: "text", placeholder: "id begins with", change: () => this.ask({ prefix: this.prefix.value.trim() }) }),
        this.window = h("span", "window", "created ", this.time("from", 0), " – ", this.time("to", 999)),
        this.clear = button("Clear", () => this.ask({ status: null, name: "", prefix: "", from: null, to: null }))),
      this.bars.node);
  }

  time(side, more) {
    const change = ({ target }) => this.ask({ [side]: target.value ? new Date(target.value).getTime() + more : null });
    return (this[side] = h("input", "", { type: "datetime-local", step: 1, "aria-label": `created ${side}`, change }));
  }

  show(picture) {
    const { question, counts = {}, names = [] } = picture;
    this.node.hidden = !question;
    if (!question) return;
    this.question = question;
    const chosen = question.status || [];
    const shown = STATUSES.filter((name) => counts[name] || chosen.includes(name));
    this.remake(this.chips, shown, (name) => this.chip(name));
    shown.forEach((name, at) => {
      set(this.chips.children[at], { "aria-pressed": chosen.includes(name) });
      write(this.chips.children[at].lastChild, whole(counts[name]));
    });
    this.remake(this.name, ["", ...names], (name) => h("option", "", name || "all names", { value: name }));
    const { name, prefix, from, to } = question;
    for (const [field, value] of Object.entries({ name, prefix, from: this.second(from), to: this.second(to) }))
      if (this[field] !== document.activeElement && this[field].value !== value) this[field].value = value;
    this.window.hidden = picture.kind !== "table";
    this.clear.hidden = !Object.values(question).some(Boolean);
    this.bars.show(picture.chart);
  }

  // Only when they changed, so that focus stays.
  remake(node, names, make) {
    const key = names.join();
    if (node.key !== key) node.replaceChildren(...names.map(make));
    node.key = key;
  }

  second(at) {
    return at ? local(at).slice(0, 19) : "";
  }

  chip(name) {
    const made = button(name, () => {
      const had = this.question.status || [];
      const status = had.includes(name) ? had.filter((one) => one !== name) : [...had, name];
      this.ask({ status: status.length ? status : null });
    }, "filter");
    made.append(h("span", "count"));
    return set(made, { "data-state": name });
  }

  async ask(change) {
    this.question = { ...this.question, ...change };
    write(this.grid.told, "asked…");
    write(this.grid.told, await this.grid.view.ask("question", this.question).then(() => "", ({ message }) => message));
  }
}

// ---- what is done to those that are chosen

class ManyActions extends Actions {
  constructor(grid) {
    super(grid.view);
    this.grid = grid;
    this.node.prepend(this.count = h("span", "ask"));
  }

  choose(rows) {
    const acts = Object.keys(ACTS_ON);
    this.ids = Object.fromEntries(acts.map((name) => [name, rows.filter((row) => ACTS_ON[name].includes(row.status)).map((row) => row.id)]));
    write(this.count, rows.length ? `${whole(rows.length)} selected` : "");
    this.show({ actions: acts.filter((name) => this.ids[name].length) });
    for (const one of this.buttons.children) write(one, `${ACTIONS[one.dataset.action].text} ${whole(this.ids[one.dataset.action].length)}`);
  }

  begin(name) {
    super.begin(name);
    if (this.action) write(this.form.firstChild, `${ACTIONS[name].text} ${many(this.ids[name].length, "instance")}${name === "purge" ? " with the whole history" : ""}?`);
  }

  async send(fields) {
    await super.send({ ...fields, ids: this.ids[fields.action] });
    if (!this.said.classList.contains("dfnb-bad")) this.grid.choose([]);
  }
}

// ---- the rows

class Grid extends VirtualList {
  constructor(view, root, kind) {
    const [noun, columns] = TABLES[kind];
    const isTable = kind === "table";
    const titles = columns.map(([title], at) => button(title, () => this.sortBy(at), "sort"));
    const box = isTable ? [""] : [];
    super({
      classes: "grid", label: noun, titles: [...box, ...titles], state: (row) => (isTable ? state(row) : row.note && "Held"),
      cells: (row) => [...box, ...columns.map(([, by, shown]) => (shown || this.reader(by))(row, this.now))],
    }, 14, 26);
    Object.assign(this, { view, noun, columns, isTable, rows: new Map(), taken: {}, order: [], chosen: new Set() });
    this.kept = (view.kept ||= {})[kind] ||= { column: -1, top: 0 };
    set(this.node, { role: "grid", "aria-multiselectable": isTable });
    set(this.head, { role: "row" });
    for (const title of this.head.children) set(title, { role: "columnheader" });
    if (isTable) this.head.firstChild.append(this.all = this.box("select all", () => this.choose(this.all.checked ? this.order : [])));
    this.filters = new Filters(this);
    this.acts = new ManyActions(this);
    this.told = this.acts.said;
    root.append(h("div", `card of-${kind}`,
      h("div", "head", this.title = h("span", "name"), this.where = h("span", "tag")), this.filters.node, this.node,
      this.foot = h("div", "quiet hint"), this.note = h("div", "missing"), this.acts.node, this.detail = hidden(h("pre", "text"))));
  }

  box(label, change = () => {}) {
    return h("input", "", { type: "checkbox", tabindex: -1, "aria-label": label, change });
  }

  reader(by) {
    return by.call ? by : (row) => row[by];
  }

  show(picture, now) {
    const isFirst = !this.picture;
    Object.assign(this, { picture, now });
    if (picture.epoch !== this.epoch) {
      this.rows.clear();
      Object.assign(this, { taken: {}, order: [], isAll: false });
    }
    if (picture.rows !== this.taken) this.take(Object.values(picture.rows).filter((row) => this.taken[row.id] !== row));
    this.taken = picture.rows;
    super.show(this.order.length, picture.epoch);
    if (isFirst) this.node.scrollTop = this.kept.top;
    const total = picture.total ?? this.total;
    write(this.title, `${this.noun}: ${whole(total)}`);
    fill(this.where, picture.where);
    write(this.note, list([picture.note, picture.trouble], "; "));
    this.filters.show(picture);
    const pauses = this.isTable && !picture.note ? this.seen.map((id) => pauseOf(this.rows.get(id), now)).filter(Boolean) : [];
    return pauses.length ? Math.min(...pauses) : 0;
  }

  take(rows) {
    for (const row of rows) {
      if (row.out) this.rows.delete(row.id);
      else this.rows.set(row.id, row);
    }
    const all = [...this.rows.values()];
    if (all.length > ROWS_KEPT) for (const row of all.sort((one, other) => other.o - one.o).splice(ROWS_KEPT)) this.rows.delete(row.id);
    this.order = [...this.rows.keys()];
    this.sort();
    this.total = this.order.length;
    for (const id of this.chosen) if (!this.rows.has(id)) this.chosen.delete(id);
    if (this.chosen.size) this.choose(this.chosen);
  }

  // The order in which the kernel tells them; then by the column that was chosen.
  sort() {
    const { column, down } = this.kept;
    const active = this.order[this.selected];
    const order = this.order.map((id) => [this.rows.get(id), 0]);
    order.sort(([one], [other]) => other.o - one.o);
    if (column >= 0) {
      const by = this.reader(this.columns[column][1]);
      for (const one of order) one[1] = by(one[0], this.now) ?? 0;
      order.sort(([, one], [, other]) => (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1));
    }
    this.order = order.map(([row]) => row.id);
    if (active) this.selected = this.order.indexOf(active);
  }

  sortBy(column) {
    const { kept } = this;
    const again = kept.column === column;
    Object.assign(kept, { column: again && kept.down ? -1 : column, down: again && !kept.down });
    this.sort();
    this.node.scrollTop = 0;
    this.draw();
  }

  scrolled() {
    this.kept.top = this.node.scrollTop;
    this.draw();
  }

  row(index) {
    return this.rows.get(this.order[index]);
  }

  draw() {
    if (!this.picture) return;
    this.seen = this.order.slice(...this.range());
    super.draw();
    set(this.node, { "aria-rowcount": this.total + 1 });
    [...this.head.children].forEach((title, at) => {
      const isSorted = at - (this.isTable ? 1 : 0) === this.kept.column && this.kept.column >= 0;
      set(title, { "aria-sort": isSorted ? (this.kept.down ? "descending" : "ascending") : "none" });
    });
    if (this.all) this.all.checked = this.total > 0 && this.chosen.size === this.total;
    write(this.foot, this.asking ? "asked for more…" : this.hasMore() ? `${whole(this.total)} loaded; scroll for more` : "");
  }

  hasMore() {
    const { more, total } = this.picture;
    return more && !this.isAll && this.total && this.total < Math.min(total || ROWS_KEPT, ROWS_KEPT);
  }

  fill(line, index, isThere) {
    if (!line.id) {
      line.id = `${this.view.uid}-${this.pool.length}-${index}`;
      set(line, { role: "row" });
      line.append(...[...this.head.children].map(() => h("span", "", { role: "gridcell" })));
      if (this.isTable) line.firstChild.append(this.box("select"));
    }
    super.fill(line, index, isThere);
    const isChosen = this.chosen.has(this.order[index]);
    const isActive = isThere && index === this.selected;
    mark(line, "active", isActive);
    set(line, { "aria-rowindex": index + 2, "aria-selected": isChosen });
    if (isActive) set(this.node, { "aria-activedescendant": line.id });
    if (this.isTable) line.firstChild.firstChild.checked = isChosen;
  }

  // What comes after the oldest that is there, one question at a time.
  async want(first, last) {
    const { epoch } = this;
    if (this.asking || last < this.total - 30 || !this.hasMore()) return;
    this.asking = true;
    const after = this.order.reduce((oldest, id) => (this.rows.get(id).o < this.rows.get(oldest).o ? id : oldest));
    try {
      const { rows, end } = await this.view.ask("rows", { after, count: ROWS_AT_ONCE });
      if (epoch === this.epoch) {
        this.isAll = Boolean(end);
        this.take(rows.filter((row) => !this.taken[row.id]));
      }
    } catch (error) {
      this.isAll = true;
      write(this.told, error.message);
    }
    this.asking = false;
    super.show(this.total, this.epoch);
    if (this.kept.top > this.node.scrollTop) this.node.scrollTop = this.kept.top;
  }

  // ---- what one chooses and opens

  choose(ids) {
    this.chosen = new Set(ids);
    this.acts.choose([...this.chosen].map((id) => this.rows.get(id)));
    this.draw();
  }

  toggle(index, isRange) {
    const id = this.order[index];
    if (!isRange) this.anchor = index;
    const [first, last] = [index, this.anchor ?? index].sort((one, other) => one - other);
    const others = [...this.chosen].filter((one) => isRange || one !== id);
    this.choose(!isRange && this.chosen.has(id) ? others : [...others, ...this.order.slice(first, last + 1)]);
  }

  clicked(event) {
    const line = event.target.closest(".dfnb-line");
    if (!line) return;
    this.selected = Number(line.dataset.index);
    if (this.isTable && (line.firstChild.contains(event.target) || event.shiftKey || event.ctrlKey || event.metaKey)) {
      getSelection().removeAllRanges();
      this.toggle(this.selected, event.shiftKey);
    } else if (!getSelection().toString()) this.open();
  }

  select(index) {
    super.select(index);
    if (this.isRange) this.toggle(this.selected, true);
    else this.anchor = this.selected;
  }

  async open() {
    const id = this.order[this.selected];
    this.draw();
    if (this.isTable) return this.view.go(id);
    this.detail.hidden = false;
    write(this.detail, "asked…");
    write(this.detail, await this.view.ask("look", { row: id }).then(({ text }) => text, ({ message }) => message));
  }

  pressed(event) {
    if (event.target !== this.node) return;
    const isThere = this.selected >= 0;
    this.isRange = this.isTable && event.shiftKey && isThere;
    if (event.key === "Enter" && isThere) this.open();
    else if (event.key === " " && this.isTable && isThere) this.toggle(this.selected);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey) && this.isTable) this.choose(this.order);
    else if (event.key === "Escape" && this.chosen.size) this.choose([]);
    else return super.pressed(event);
    take(event);
  }
}

for (const kind of Object.keys(TABLES)) VIEWS[kind] = Grid;
