// The kernel's half of a live table, made up; run in the page after kernel_half.js. `lots` is what tests talk to.

globalThis.lots = {
  names: ["plan_trip", "ship_order", "render_map"],
  states: ["Completed", "Running", "Completed", "Failed", "Completed", "Suspended", "Terminated", "Completed", "Pending", "Running"],
  total: 10_000,
  question: { status: null, name: "", prefix: "", from: null, to: null },

  row(i, status = this.states[i % this.states.length]) {
    const created = START - (this.total - i) * 5_000;
    const over = ["Completed", "Failed", "Terminated"].includes(status);
    const waits = status === "Running" ? [i % 3 ? { text: "event approve", since: created } : { text: "GET api.example.org", next: Date.now() + 4_000, asked: 5_000 }] : [];
    return { id: `trip-${String(i).padStart(5, "0")}`, o: i, name: this.names[i % 3], status, created, updated: created + 900, ended: over ? created + 900 + (i % 97) * 130 : null,
      custom: "", waits, held: "", over };
  },

  fits({ name, status, id }) {
    const { question } = this;
    return (!question.status || question.status.includes(status)) && (!question.name || question.name === name) && id.startsWith(question.prefix);
  },

  all() { return Array.from({ length: this.total }, (_, at) => this.row(this.total - 1 - at)).filter((row) => this.fits(row)); },

  picture() {
    const all = this.all();
    const counts = {};
    const series = {};
    for (const row of all) {
      counts[row.status] = (counts[row.status] || 0) + 1;
      (series[row.status] ||= Array(50).fill(0))[Math.floor((row.o / this.total) * 50)] += 1;
    }
    const now = Date.now();
    return { kind: "table", n: 0, now, live: true, where: "", note: "", order: all.slice(0, 100).map((row) => row.id), rows: Object.fromEntries(all.slice(0, 100).map((row) => [row.id, row])),
      total: all.length, more: Math.max(0, all.length - 100), counts, names: this.names, question: this.question, chart: { from: START - this.total * 5_000, step: this.total * 100, series } };
  },

  entities() {
    const row = (i) => ({ id: `@stock@item-${i}`, o: -i, name: "stock", key: `item-${i}`, state: JSON.stringify({ left: 7 * i, reserved: [i, i + 1] }), operations: 12 + i * 40, waiting: i % 4 ? 0 : i, locked: i % 5 === 2 ? "trip-00017" : "", last: START - i * 60_000, note: "" });
    const rows = Array.from({ length: 40 }, (_, i) => row(i));
    return { kind: "entities", n: 0, now: Date.now(), live: true, where: "", note: "", order: rows.map((one) => one.id), rows: Object.fromEntries(rows.map((one) => [one.id, one])), total: 40, more: 0,
      names: ["stock", "audit"], question: { name: "", prefix: "" } };
  },

  definitions() {
    const rows = [
      { kind: "activity", name: "book_flight", version: "", running: 0, note: "3 calls wait for this cell", where: "" }, { kind: "activity", name: "geocode", version: "9f3ac81b77de", running: 0, note: "", where: "" },
      { kind: "orchestrator", name: "plan_trip", version: "11bc81b77dea", running: 1204, note: "", where: "trips.flows" }, { kind: "entity", name: "stock", version: "81b77de9f3ac", running: 40, note: "", where: "" },
    ].map((row, at) => ({ ...row, id: `${row.kind}:${row.name}`, o: -at }));
    return { kind: "definitions", n: 0, now: Date.now(), live: true, where: "", note: "", order: rows.map((one) => one.id), rows: Object.fromEntries(rows.map((one) => [one.id, one])), total: 4, more: 0 };
  },
};

Object.assign(ANSWERS, {
  rows: ({ after, count }) => {
    const rows = lots.all().filter((row) => row.id < after).slice(0, count);
    return { rows, ...(rows.length < count ? { end: true } : {}) };
  },
  question: (asked) => {
    lots.question = asked;
    setTimeout(() => harness.tell({ full: lots.picture() }));
    return {};
  },
  look: ({ row }) => ({ text: `{"of": "${row}"}` }),
  go: ({ instance }) => {
    const full = instance === "table" ? lots.picture() : picture(12, { id: instance, back: ["table"] });
    setTimeout(() => harness.tell({ full }));
    return {};
  },
});
