// One instance, live: its status, what it was given and gave, its history, and what can be done with it.

import { Follower, ask, instancePath } from "./api.js";
import { make, pill, say, sayOrHide, setPill, setTime, shown } from "./dom.js";

const OPEN = ["Running", "Pending", "ContinuedAsNew"];
const ENDED = ["Completed", "Failed", "Terminated", "Canceled"];
const AT_MOST_EVERY = 1000;

const ACTIONS = [
  { verb: "suspend", label: "Suspend", states: OPEN, done: "It is asked to pause." },
  { verb: "resume", label: "Resume", states: ["Suspended"], done: "It goes on." },
  { verb: "raiseEvent", label: "Raise event", states: [...OPEN, "Suspended"], done: "The event is on its way.", fields: ["Event", "Data as JSON"] },
  { verb: "rewind", label: "Rewind", states: ["Failed"], done: "What failed runs again." },
  { verb: "restart", label: "Restart as new", states: ENDED },
  {
    verb: "terminate", label: "Terminate", states: [...OPEN, "Suspended"], done: "It is asked to end.", grave: true, fields: ["Reason"],
    question: "End this instance now? What it has begun is not undone.",
  },
  {
    verb: "purge", label: "Purge", states: ENDED, grave: true,
    question: "Delete this instance with its history? That cannot be undone.",
  },
];

/** Fills `place` with an instance until `close`. `go(id)` shows another one, none without an id; `locked()`: the key does not fit. */
export class InstanceView {
  constructor(place, id, { go, locked }) {
    Object.assign(this, { place, id, go, locked, status: null, closed: false });
    this.build();
    this.follow();
  }

  close() {
    this.closed = true;
    this.follower.stop();
    clearTimeout(this.timer);
  }

  /** News of the instance from elsewhere: one that had ended may have begun again. */
  changed() {
    if (this.follower.over) this.follow();
  }

  follow() {
    const problem = (error) => {
      sayOrHide(this.problem, error?.message);
      if (error?.status === 401) this.locked(error.message);
    };
    this.follower = new Follower(instancePath(this.id), (event) => this.take(event), problem);
  }

  build() {
    this.pill = pill();
    this.name = make("h2", { tabindex: "-1" });
    this.created = make("time");
    this.updated = make("time");
    this.buttons = make("div", { class: "row buttons" });
    this.question = make("div");
    this.done = make("p", { class: "quiet", role: "status", hidden: true });
    this.problem = make("p", { class: "problem", role: "alert", hidden: true });
    this.values = { customStatus: make("pre"), input: make("pre"), output: make("pre") };
    this.history = make("tbody");
    this.details = make("details", { toggle: () => this.details.open && this.loadHistory() },
      make("summary", {}, "History"), make("div", { class: "scroll" }, make("table", {}, this.history)));
    const facts = make("dl", {},
      make("dt", {}, "Id"), make("dd", { class: "mono" }, this.id),
      make("dt", {}, "Created"), make("dd", {}, this.created), make("dt", {}, "Last updated"), make("dd", {}, this.updated));
    const parts = [["Custom status", "customStatus"], ["Input", "input"], ["Output", "output"]];
    this.place.replaceChildren(
      make("div", { class: "row head" }, this.name, this.pill, make("a", { href: "#", class: "close", click: (event) => this.leave(event) }, "Close")),
      facts, this.buttons, this.question, this.done, this.problem,
      ...parts.flatMap(([title, name]) => [make("h3", {}, title), this.values[name]]), this.details);
    this.place.hidden = false;
  }

  leave(event) {
    event.preventDefault();
    this.go("");
  }

  take({ type, data }) {
    if (type === "purged") {
      this.gone("This instance was purged.");
      return true;
    }
    if (type !== "status") return false;
    this.show(data);
    return ENDED.includes(data.runtimeStatus);
  }

  gone(why) {
    this.buttons.replaceChildren();
    this.question.replaceChildren();
    sayOrHide(this.done, why);
  }

  show(status) {
    const before = this.status?.runtimeStatus;
    this.status = status;
    say(this.name, status.name);
    setPill(this.pill, status.runtimeStatus);
    setTime(this.created, status.createdTime);
    setTime(this.updated, status.lastUpdatedTime);
    for (const [name, element] of Object.entries(this.values)) {
      element.classList.toggle("none", status[name] === null);
      say(element, status[name] === null ? "none" : shown(status[name]));
    }
    if (before !== status.runtimeStatus) this.offer();
    if (this.details.open && !this.timer) this.timer = setTimeout(() => this.loadHistory(), AT_MOST_EVERY);
  }

  // what can be done

  offer() {
    const held = this.place.contains(document.activeElement) && document.activeElement.dataset.verb;
    this.question.replaceChildren();
    const fitting = ACTIONS.filter((action) => action.states.includes(this.status.runtimeStatus));
    this.buttons.replaceChildren(...fitting.map((action) =>
      make("button", { type: "button", class: action.grave ? "grave" : false, "data-verb": action.verb, click: () => this.choose(action) }, action.label)));
    if (held) (this.buttons.querySelector(`[data-verb=${held}]`) ?? this.name).focus(); // the button just used is gone
  }

  choose(action) {
    sayOrHide(this.done, "");
    sayOrHide(this.problem, "");
    if (action.question || action.fields) this.inquire(action);
    else this.perform(action, []);
  }

  inquire(action) {
    const inputs = (action.fields ?? []).map((label) => make("input", { autocomplete: "off", spellcheck: "false", required: label === "Event", "aria-label": label }));
    const cancel = () => {
      this.question.replaceChildren();
      this.buttons.querySelector(`[data-verb=${action.verb}]`)?.focus();
    };
    const form = make("form", {
      class: "card",
      submit: (event) => (event.preventDefault(), this.perform(action, inputs.map((input) => input.value))),
      keydown: (event) => event.key === "Escape" && cancel(),
    });
    if (action.question) form.append(make("p", {}, action.question));
    inputs.forEach((input, at) => form.append(make("label", {}, action.fields[at], input)));
    const yes = make("button", { class: action.grave ? "grave" : false }, action.label);
    form.append(make("div", { class: "row" }, yes, make("button", { type: "button", click: cancel }, "Cancel")));
    this.question.replaceChildren(form);
    (inputs[0] ?? yes).focus();
  }

  async perform(action, words) {
    try {
      const answer = await this.send(action.verb, words);
      if (this.closed) return;
      this.question.replaceChildren();
      sayOrHide(this.done, action.done);
      if (action.verb === "restart") this.go((await answer.json()).id);
      if (action.verb === "purge") this.go("");
    } catch (error) {
      sayOrHide(this.problem, error.message);
      if (error.status === 401) this.locked(error.message);
    }
  }

  send(verb, [first, second]) {
    if (verb === "purge") return ask(instancePath(this.id), { method: "DELETE" });
    if (verb === "terminate") return ask(instancePath(this.id, `/terminate?reason=${encodeURIComponent(first)}`), { method: "POST" });
    if (verb !== "raiseEvent") return ask(instancePath(this.id, `/${verb}`), { method: "POST" });
    const body = second.trim() || "null";
    return ask(instancePath(this.id, `/raiseEvent/${encodeURIComponent(first)}`), {
      method: "POST", body, headers: { "Content-Type": "application/json" },
    });
  }

  // history

  async loadHistory() {
    clearTimeout(this.timer);
    this.timer = 0;
    try {
      const answer = await ask(instancePath(this.id, "?showHistory=true&showHistoryOutput=true"));
      const { historyEvents } = await answer.json();
      if (!this.closed) this.history.replaceChildren(...(historyEvents ?? []).map(historyRow));
    } catch (error) {
      sayOrHide(this.problem, error.message);
    }
  }
}

function historyRow(event) {
  const { EventType, Timestamp, FunctionName, Name, ...rest } = event;
  const told = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  const data = told.map(([name, value]) => `${name}: ${shown(value)}`).join("\n");
  return make("tr", {}, make("td", {}, setTime(make("time"), Timestamp)), make("td", {}, EventType), make("td", {}, FunctionName ?? Name ?? ""),
    make("td", { class: "mono" }, data));
}
