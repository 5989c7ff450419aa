// What scrolls: helpers, and a list of any length of which only the rows in sight exist and are fetched.

const isAtEnd = (node) => node.scrollTop + node.clientHeight >= node.scrollHeight - 4;

function bringIntoView(node, top, room) {
  if (top < node.scrollTop) node.scrollTop = top;
  if (top > node.scrollTop + room) node.scrollTop = top - room;
}

// How far a key goes in a list; undefined for other keys.
function stepOf(key, page, total) {
  return { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -total, End: total }[key];
}

function take(event) {
  event.preventDefault();
  event.stopPropagation();
}

// Has a panel ask again only when `stamp` is another: one question at a time, and the last stamp is never missed.
async function renew(panel, stamp, told, act) {
  panel.wanted = stamp;
  if (panel.isAsking) return;
  panel.isAsking = true;
  while (panel.stamp !== panel.wanted) {
    panel.stamp = panel.wanted;
    await act().catch((error) => write(told, error.message));
  }
  panel.isAsking = false;
}

const PAGE = 200;
const PAGES_KEPT = 60;

class VirtualList {
  // options: label, classes, titles, cells(row) => texts, whole(row) => texts if those are shortened, state(row), isOpen(row): may still change, pick(row), follow,
  // fetch(from, count) => promise of rows
  constructor(options, lines = 12, height = 22) {
    Object.assign(this, { options, lines, height, total: 0, selected: -1, epoch: null, trouble: "", pages: new Map(), pool: [] });
    this.isAtEnd = options.follow;
    this.node = h("div", `rows mono ${options.classes}`,
      { tabindex: 0, role: "listbox", "aria-label": options.label, scroll: () => this.scrolled(), keydown: (event) => this.pressed(event) },
      this.head = h("div", "line titles", ...(options.titles || []).map((title) => h("span", "", title))),
      this.space = h("div", "space", { click: (event) => this.clicked(event) }),
      this.empty = h("div", "quiet empty"));
    this.head.hidden = !options.titles;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.node);
  }

  end() {
    this.sizes.disconnect();
  }

  // The length is what the picture says; with another epoch all rows may be others, with another stamp those that are open.
  show(total, epoch = 0, stamp = 0, isOver = true) {
    if (epoch !== this.epoch) this.pages.clear();
    Object.assign(this, { total, epoch, stamp });
    write(this.empty, total ? this.trouble : isOver ? "none" : "nothing yet");
    this.space.style.height = `${total * this.height}px`;
    this.node.style.setProperty("--lines", clamp(total, 1, this.lines) + (this.head.hidden ? 0 : 1));
    if (this.isAtEnd && !this.node.matches(":active")) this.node.scrollTop = this.node.scrollHeight; // no row leaves a pressed pointer
    this.draw();
  }

  scrolled() {
    this.isAtEnd = isAtEnd(this.node);
    this.draw();
  }

  range() {
    const first = Math.max(0, Math.floor(this.node.scrollTop / this.height) - 2);
    const shown = Math.ceil((this.node.clientHeight || this.lines * this.height) / this.height) + 4;
    return [Math.min(first, Math.max(0, this.total - shown)), Math.min(this.total, first + shown)];
  }

  row(index) {
    return this.pages.get(Math.floor(index / PAGE))?.rows[index % PAGE];
  }

  draw() {
    const [first, last] = this.range();
    while (this.pool.length < last - first) this.pool.push(this.space.appendChild(h("div", "line", { role: "option" })));
    this.pool.forEach((line, at) => this.fill(line, first + at, first + at < last));
    this.want(first, last);
  }

  fill(line, index, isThere) {
    line.hidden = !isThere;
    if (!isThere) return;
    const row = this.row(index);
    line.style.transform = `translateY(${index * this.height}px)`;
    line.dataset.index = index;
    line.dataset.state = (row && this.options.state?.(row)) || "";
    set(line, { "aria-selected": index === this.selected, "aria-posinset": index + 1, "aria-setsize": this.total });
    const texts = row ? this.options.cells(row) : ["…"];
    while (line.children.length < texts.length) line.append(h("span"));
    [...line.children].forEach((cell, at) => write(cell, String(texts[at] ?? "")));
    line.title = row ? list(this.options.whole?.(row) || texts, " ") : "";
  }

  // One question at a time: what was scrolled past meanwhile is never asked for.
  want(first, last) {
    if (this.asking) return;
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) {
      const due = Math.min(PAGE, this.total - page * PAGE);
      if (this.isNeeded(this.pages.get(page), due)) return this.load(page, due);
    }
  }

  isNeeded(have, due) {
    if (!have || (have.rows.length < due && have.due !== due)) return true;
    return have.stamp !== this.stamp && (have.failed || (this.options.isOpen && have.rows.some(this.options.isOpen)));
  }

  async load(page, due) {
    this.asking = true;
    const { epoch, stamp } = this;
    try {
      const rows = await this.options.fetch(page * PAGE, PAGE);
      this.trouble = "";
      if (epoch === this.epoch) this.pages.set(page, { rows, due, stamp });
    } catch (error) {
      this.pages.set(page, { rows: [], due, stamp, failed: true });
      this.trouble = error.message;
      write(this.empty, error.message);
    }
    this.asking = false;
    if (this.pages.size > PAGES_KEPT) this.pages.delete(this.pages.keys().next().value);
    this.draw();
  }

  // By its place: the line that was pressed may have been given another row since.
  clicked(event) {
    if (!getSelection().toString()) this.select(Math.floor((event.clientY - this.space.getBoundingClientRect().top) / this.height));
  }

  select(index) {
    this.selected = clamp(index, 0, this.total - 1);
    bringIntoView(this.node, this.selected * this.height, this.node.clientHeight - (this.head.hidden ? 1 : 2) * this.height);
    this.draw();
    const row = this.row(this.selected);
    if (row) this.options.pick?.(row);
  }

  pressed(event) {
    const step = event.key === "Enter" ? 0 : stepOf(event.key, this.lines, this.total);
    if (step === undefined || !this.total) return;
    take(event);
    this.select((this.selected < 0 && step === 1 ? -1 : this.selected) + step);
  }
}
