// The kernel's half of a live view, played in the page: a model to hold what the widget holds, and answers from made-up data.
// `harness` is what tests talk to.

const START = Date.now() - 95_000;
const STATES = ["Completed", "Completed", "Completed", "Failed", "Completed"];
const MAKERS = [
  (row) => ({ ...row, k: "activity", n: `geocode_${row.i}` }),
  (row) => ({ ...row, k: "http", n: "GET api.example.org/jobs/17", pc: 4, p: [1, 2, 3, 4].map((at) => row.s + ((row.e - row.s) * at) / 5) }),
  (row) => ({ ...row, k: "orchestration", n: "ship_order", c: `child-${row.i}` }),
  (row) => ({ ...row, k: "timer", n: "timer", st: "Completed" }),
  (row) => ({ ...row, k: "activity", n: "charge", t: [[row.s, row.s + 300, 0], [row.s + 600, row.e, 1]] }),
  (row) => ({ ...row, k: "entity", n: "@stock@main reserve" }),
  (row) => ({ ...row, k: "signal", n: "@audit@log add" }),
  (row) => ({ ...row, k: "lock", n: "@stock@main" }),
];

function task(i, tasks) {
  const s = START + (i / tasks) * 85_000;
  const row = { i, id: i, g: 1, s, e: s + 900 + ((i * 37) % 40) * 90, st: STATES[i % STATES.length] };
  return MAKERS[i % MAKERS.length](row);
}

function openTasks(first) {
  const now = Date.now();
  return [
    { i: first, id: first, g: 1, k: "activity", n: "render_map", s: now - 8_000, e: null, st: "Running" },
    { i: first + 1, id: first + 1, g: 1, k: "http", n: "POST api.example.org/export", s: now - 30_000, e: null, st: "Running", pc: 5,
      p: [25, 20, 15, 10, 5].map((ago) => now - ago * 1000), x: now + 4_000, ra: 5_000 },
    { i: first + 2, id: first + 2, g: 1, k: "timer", n: "timer", s: now - 20_000, e: null, st: "Waiting", u: now + 3_600_000 },
    { i: first + 3, id: first + 3, g: 1, k: "event", n: "approve", s: now - 12_000, e: null, st: "Waiting" },
    { i: first + 4, id: first + 4, g: 1, k: "activity", n: "book_flight", s: now - 9_000, e: null, st: "Waiting", x: now + 9_000,
      t: [[now - 9_000, now - 7_000, 0], [now - 5_000, now - 4_000, 0]], note: "TimeoutError: no answer" },
  ];
}

function picture(tasks = 40, more = {}) {
  const done = Math.max(0, tasks - 5);
  const all = [...Array.from({ length: Math.min(done, 295) }, (_, at) => task(done - Math.min(done, 295) + at, done)), ...openTasks(done)];
  const now = Date.now();
  return {
    kind: "instance", id: "trip-2031", name: "plan_trip", status: "Running", created: START, ended: null,
    custom: '{"stage":"export","percent":60}', held: "", over: false, code: "9f3ac81b77de", codeNote: "", parent: "", back: [], where: "",
    waits: [
      { text: "POST api.example.org/export", next: now + 4_000, asked: 5_000 }, { text: "event approve", since: now - 12_000 },
      { text: "timer", until: now + 3_600_000 },
    ],
    actions: ["suspend", "raise", "terminate"], tabs: ["timeline", "history", "http", "payloads", "logs", "code"],
    counts: { tasks, events: tasks * 2, exchanges: 24, logs: 60 }, rows: Object.fromEntries(all.map((row) => [row.i, row])),
    calls: [], n: 0, now, ...more,
  };
}

const SOURCE = `@app.orchestrator
def plan_trip(context):
    places = yield context.call_activity("geocode", context.get_input())
    job = yield context.call_http("POST", "https://api.example.org/export", content=places)
    approved = context.wait_for_external_event("approve")
    late = context.create_timer(timedelta(hours=1))
    yield context.task_any([approved, late])
    return {"places": places, "job": job.json()}`;
const BODY = JSON.stringify({ id: 12345678901234567890n.toString(), ok: true, ratio: 1, items: [{ name: "Oslo", at: [59.9, 10.7] }, {}, []] }).replace('"ratio":1', '"ratio":1.0');
const HEADERS = [["content-type", "application/json"], ["authorization", "[secret api-key]"], ["retry-after", "5"], ["date", "Mon, 01 Jan 2024 10:00:00 GMT"]];

const window_ = (total, from, count, make) => ({ rows: Array.from({ length: Math.max(0, Math.min(count, total - from)) }, (_, at) => make(from + at)), total });

const ANSWERS = {
  timeline: ({ from, count }, now) => window_(now.counts.tasks - 5, from, count, (i) => task(i, now.counts.tasks)),
  history: ({ from, count }, now) => window_(now.counts.events, from, count, (i) => ({
    i, n: i * 3, at: START + i * 900, kind: i % 2 ? "TaskCompleted" : "TaskScheduled", name: `geocode_${i >> 1}`, bad: i % 17 === 5,
    ...(i % 2 ? { took: 420 + i, has: ["result"] } : { has: ["input"] }), ...(i % 17 === 5 ? { note: "ValueError: no such place" } : {}),
  })),
  http: ({ from, count, task }, now) => window_(task === undefined ? now.counts.exchanges : 4, from, count, (i) => ({
    i, at: START + i * 5_000, task: task ?? 1, attempt: 1, purpose: i ? "poll" : "start", method: i ? "GET" : "POST", url: "https://api.example.org/jobs/17",
    status: i === 23 ? 200 : 202, text: i === 23 ? "200 OK" : "202 Accepted", state: i === 23 ? "Completed" : "Running", asked: 5_000, waited: 5_012, took: 84, bytes: 412,
  })),
  exchange: ({ i }) => ({
    request: { line: "GET https://api.example.org/jobs/17", headers: HEADERS.slice(0, 2), text: "", bytes: 0, binary: false },
    response: { line: "202 Accepted", headers: HEADERS, text: i === 1 ? harness.big.slice(0, 65536) : BODY, bytes: i === 1 ? harness.big.length : BODY.length, binary: false, more: i === 1 },
  }),
  payload: ({ of, from, count }) => {
    const text = of === "output" || of.x === 1 ? harness.big : BODY;
    return { text: text.slice(from, from + count), total: text.length };
  },
  payloads: () => ({ rows: [
    { label: "input", of: "input", bytes: BODY.length }, { label: "output", of: "output", bytes: harness.big.length },
    ...Array.from({ length: 30 }, (_, i) => ({ label: `result of geocode_${i}`, of: { i, what: "result" }, bytes: 200 + i, task: i * 8, g: 1 })),
  ] }),
  logs: ({ from, count }, now) => window_(now.counts.logs, from, count, (i) => ({ i, at: START + i * 700, stream: i % 9 === 4 ? "stderr" : "stdout", bad: i % 9 === 4, text: `geocoding place ${i}`, task: i })),
  code: () => ({ source: SOURCE, line: 7, version: "9f3ac81b77de", note: "" }),
  do: ({ action, sameId }) => ({ done: `${action}: done`, ...(action === "restart" ? { instance: sameId ? "trip-2031" : "trip-2032" } : {}) }),
  go: ({ instance }) => {
    const back = harness.model.get("snapshot").back;
    const to = back.includes(instance) ? back.slice(0, back.indexOf(instance)) : [...back, harness.model.get("snapshot").id];
    setTimeout(() => harness.tell({ full: picture(12, { id: instance, name: "ship_order", parent: to.at(-1) || "", back: to }) }));
    return {};
  },
};

class Model {
  constructor(snapshot) {
    Object.assign(this, { values: { snapshot }, heard: {} });
  }
  get(name) { return this.values[name]; }
  set(name, value) {
    this.values[name] = value;
    this.emit(`change:${name}`, value);
  }
  on(name, act) { (this.heard[name] ||= new Set()).add(act); }
  off(name, act) { this.heard[name]?.delete(act); }
  emit(name, ...what) { for (const act of [...(this.heard[name] || [])]) act(...what); }
  listeners() { return Object.values(this.heard).reduce((sum, one) => sum + one.size, 0); }
  send(message) {
    harness.sent.push(message);
    if (!harness.silent && message.ask) setTimeout(() => this.answer(message));
  }
  answer(message) {
    let answer;
    if (harness.refusal && message.ask === "do") answer = { error: harness.refusal };
    else if (harness.failing === message.ask) answer = { error: "this cannot be told" };
    else answer = ANSWERS[message.ask](message, this.get("snapshot"));
    this.emit("msg:custom", { answer: message.id, ...answer });
  }
}

globalThis.harness = {
  sent: [], silent: false, refusal: "", failing: "", big: "", picture, timers: new Set(),
  async start(script, snapshot) {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.widget = (await import(url)).default;
    this.model = new Model(snapshot);
    this.ends = [this.widget.initialize({ model: this.model })];
    this.mount();
  },
  mount() {
    const el = document.body.appendChild(document.createElement("div"));
    this.ends.push(this.widget.render({ model: this.model, el }));
    return el;
  },
  tell(message) {
    this.model.emit("msg:custom", { n: this.model.get("snapshot").n + 1, now: Date.now(), ...message });
  },
  asked(kind) { return this.sent.filter((one) => one.ask === kind); },
  makeBig(bytes) { this.big = JSON.stringify(Array.from({ length: bytes / 50 }, (_, i) => `row ${i} `.padEnd(46, "x"))); },
  stop() { for (const end of this.ends) end(); },
};

for (const [start, stop] of [["setTimeout", "clearTimeout"], ["setInterval", "clearInterval"], ["requestAnimationFrame", "cancelAnimationFrame"]]) {
  const [begin, end] = [globalThis[start].bind(globalThis), globalThis[stop].bind(globalThis)];
  globalThis[start] = (act, ...more) => {
    const key = { id: 0 };
    key.id = begin((...given) => {
      if (start !== "setInterval") harness.timers.delete(`${stop} ${key.id}`);
      act(...given);
    }, ...more);
    harness.timers.add(`${stop} ${key.id}`);
    return key.id;
  };
  globalThis[stop] = (id) => {
    harness.timers.delete(`${stop} ${id}`);
    end(id);
  };
}
