// One instance: what it is, why it waits, and tabs with all there is to know; below, what one may do with it.

const TABS = {
  timeline: ["Timeline", "tasks"], history: ["History", "events"], http: ["HTTP", "exchanges"],
  payloads: ["Payloads"], logs: ["Logs", "logs"], code: ["Code"],
};
const ACTIONS = {
  suspend: { text: "Suspend", now: true },
  resume: { text: "Resume", now: true },
  raise: { text: "Raise event", fields: "raiseFields" },
  rewind: { text: "Rewind", ask: "Rewind: run what failed again?", keep: "Keep", fields: "reasonField" },
  restart: { text: "Restart", ask: "Start it anew with the same input?", fields: "restartFields" },
  terminate: { text: "Terminate", ask: "Terminate this instance?", keep: "Keep", fields: "reasonField", bad: true },
  purge: { text: "Purge", ask: "Delete this instance and its whole history?", keep: "Keep", bad: true },
};

const labelled = (card, label, classes) => card.appendChild(hidden(h("div", "row", h("span", "", label)))).appendChild(h("div", classes));

function fillRow(node, text) {
  fill(node, text);
  node.parentElement.hidden = !text;
}

// ---- what one may do

class Actions {
  constructor(view) {
    this.view = view;
    this.node = h("div", "foot",
      this.buttons = h("div", "tools actions"),
      this.form = hidden(h("form", "form", {
        submit: (event) => { event.preventDefault(); this.submit(); },
        keydown: (event) => { if (event.key === "Escape") this.close(true); },
      })),
      this.said = h("div", "said", { role: "status" }));
  }

  show(picture) {
    this.picture = picture;
    const offered = (picture.actions || []).filter((name) => name in ACTIONS);
    if (offered.join() === this.offered) return;
    this.offered = offered.join();
    const focused = this.buttons.contains(document.activeElement) && document.activeElement.dataset.action;
    this.buttons.replaceChildren(...offered.map((name) => this.button(name)));
    this.focus(focused);
    if (!offered.includes(this.action)) this.close();
  }

  button(name) {
    const made = set(button(ACTIONS[name].text, () => this.begin(name), ACTIONS[name].bad && "danger"), { "data-action": name });
    made.disabled = Boolean(this.isAsking);
    return made;
  }

  focus(name) {
    this.buttons.querySelector(`[data-action="${name}"]`)?.focus();
  }

  begin(name) {
    write(this.said, "");
    if (ACTIONS[name].now) return this.send({ action: name });
    this.action = name;
    this.read = () => {};
    const { text, ask, keep = "Cancel", fields, bad } = ACTIONS[name];
    this.go = h("button", `button ${bad ? "danger" : "primary"}`, text, { type: "submit" });
    const asked = ask ? [h("span", "ask", ask)] : [];
    this.form.replaceChildren(...asked, ...(fields ? this[fields]() : []), this.go, button(keep, () => this.close(true)));
    this.form.hidden = false;
    (this.form.querySelector("input:not([type=checkbox]), textarea") || this.form.lastChild).focus();
  }

  // Of each form: its fields, and how what was entered is read.
  reasonField() {
    const reason = h("input", "", { type: "text", placeholder: "reason", "aria-label": "reason" });
    this.read = () => ({ reason: reason.value.trim() });
    return [reason];
  }

  restartFields() {
    const warning = hidden(h("span", "missing", "its history so far is deleted"));
    const same = h("input", "", { type: "checkbox", change: () => {
      warning.hidden = !same.checked;
      write(this.go, same.checked ? "Restart and replace" : "Restart");
      mark(this.go, "danger", same.checked);
    } });
    this.read = () => ({ sameId: same.checked });
    return [h("label", "", same, " keep the id"), warning];
  }

  // Names of events it waits for come first: one of them is what one means.
  raiseFields() {
    const open = Object.values(this.picture.rows || {}).filter((row) => row.k === "event" && row.e == null).map((row) => row.n);
    const told = (this.picture.waits || []).map((wait) => /^event (\S+)/.exec(wait.text)?.[1]);
    const names = [...new Set([...open, ...told].filter(Boolean))];
    const id = `${this.view.uid}-events`;
    const name = h("input", "", { type: "text", list: id, required: "", value: names[0] || "" });
    const wrong = h("span", "bad", { role: "alert" });
    const data = h("textarea", "mono", "null", { rows: 2, spellcheck: false, input: () => {
      const problem = problemOf(data.value || "null");
      write(wrong, problem && `not JSON yet (texts need double quotes): ${problem}`);
      this.go.disabled = Boolean(problem);
      set(data, { "aria-invalid": this.go.disabled });
    } });
    this.read = () => ({ name: name.value.trim(), data: data.value.trim() || "null" });
    const choices = h("datalist", "", { id }, ...names.map((value) => h("option", "", { value })));
    return [field("event", name), choices, field("data (JSON)", data), wrong];
  }

  submit() {
    this.send({ action: this.action, ...this.read() });
    this.close();
  }

  close(back = false) {
    const name = this.action;
    this.action = null;
    this.form.hidden = true;
    this.form.replaceChildren();
    if (back) this.focus(name);
  }

  // The click is acknowledged here at once; the kernel may be busy for long.
  async send(fields) {
    this.take(true);
    mark(this.said, "bad", false);
    write(this.said, "asked…");
    try {
      const { done, instance } = await this.view.ask("do", fields);
      write(this.said, done);
      if (instance && instance !== this.picture.id) this.said.append(" ", link(`show ${instance}`, () => this.view.go(instance)));
    } catch (error) {
      write(this.said, error.message);
      mark(this.said, "bad", true);
    }
    this.take(false);
  }

  take(isAsking) {
    this.isAsking = isAsking;
    for (const one of this.buttons.children) one.disabled = isAsking;
  }
}

// ---- tabs

class Tabs {
  constructor(view, panels) {
    Object.assign(this, { view, panels, made: {}, tabs: {} });
    this.node = h("div", "",
      this.bar = h("div", "tabs", { role: "tablist", "aria-label": "Views", keydown: (event) => this.pressed(event) }),
      this.place = h("div", "panel", { role: "tabpanel", id: `${view.uid}-panel` }));
  }

  show(picture, now) {
    Object.assign(this, { picture, now });
    const names = (picture.tabs || []).filter((name) => name in TABS);
    this.node.hidden = !names.length;
    if (names.join() !== this.names?.join()) this.build(names);
    for (const name of names) write(this.tabs[name].lastChild, some(picture.counts?.[TABS[name][1]]));
    this.made[this.open]?.show(picture, now);
  }

  build(names) {
    this.names = names;
    for (const name of names) this.tabs[name] ||= this.tab(name);
    this.bar.replaceChildren(...names.map((name) => this.tabs[name]));
    if (!names.includes(this.open)) this.choose(names[0]);
  }

  tab(name) {
    const made = button(TABS[name][0], () => this.choose(name), "tab");
    made.append(h("span", "count"));
    return set(made, { role: "tab", id: `${this.view.uid}-${name}`, "aria-controls": this.place.id });
  }

  choose(name) {
    this.open = name;
    if (!name) return null;
    for (const [one, tab] of Object.entries(this.tabs)) set(tab, { "aria-selected": one === name, tabindex: one === name ? 0 : -1 });
    set(this.place, { "aria-labelledby": this.tabs[name].id });
    const panel = (this.made[name] ||= this.panels[name](this.picture));
    this.place.replaceChildren(panel.node);
    panel.show(this.picture, this.now);
    return panel;
  }

  pressed(event) {
    const at = this.names.indexOf(this.open);
    const places = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    if (!(event.key in places)) return;
    take(event);
    const name = this.names.at(places[event.key] % this.names.length);
    this.choose(name);
    this.tabs[name].focus();
  }

  end() {
    for (const panel of Object.values(this.made)) {
      panel.list?.end();
      panel.end?.();
    }
  }
}

// ---- the card

class Instance {
  constructor(view, root) {
    this.view = view;
    const card = (this.card = root.appendChild(h("div", "card", { role: "region" },
      this.crumbs = h("nav", "crumbs", { "aria-label": "Way back" }),
      h("div", "head", this.pill = h("span", "pill"), this.name = h("span", "name"), this.id = h("span", "id"),
        this.parent = h("span", "quiet"), this.where = h("span", "tag"), this.code = h("span", "tag mono"), this.time = h("span", "time quiet")))));
    this.waits = labelled(card, "waiting for");
    this.reason = labelled(card, "suspended", "short");
    this.custom = labelled(card, "custom status", "short");
    this.output = labelled(card, "output", "mono short");
    this.failure = labelled(card, "failure", "bad short");
    this.note = labelled(card, "note");
    this.tabs = new Tabs(view, {
      timeline: () => new Timeline(view, (row) => this.follow(row)), history: (picture) => new HistoryPanel(view, picture),
      http: (picture) => new HttpPanel(view, picture), payloads: () => new PayloadsPanel(view),
      logs: (picture) => new LogsPanel(view, picture), code: () => new CodePanel(view),
    });
    this.actions = new Actions(view);
    card.append(this.tabs.node, this.actions.node);
  }

  show(picture, now) {
    this.showHead(picture, now);
    this.showWay(picture);
    showWaits(this.waits, picture, now);
    write(this.waits.previousSibling, picture.held ? "held" : "waiting for");
    this.waits.parentElement.hidden = !this.waits.children.length;
    for (const name of ["reason", "custom", "output", "failure"]) fillRow(this[name], picture[name]);
    fillRow(this.note, list([picture.codeNote, picture.note], "; "));
    this.tabs.show(picture, now);
    this.actions.show(picture);
    return pauseOf(picture, now);
  }

  showHead(picture, now) {
    this.card.dataset.state = state(picture);
    this.card.style.setProperty("--day", clock(picture.created).length > 8 ? "11ch" : "0ch"); // times with a date are longer
    set(this.card, { "aria-label": `Instance ${picture.id}` });
    write(this.pill, state(picture) || "?");
    write(this.name, picture.name || "");
    write(this.id, picture.id || "");
    write(this.time, elapsed(picture, now));
    this.time.title = picture.created ? `started ${clock(picture.created)}` : "";
    for (const [node, text, title] of [[this.where, picture.where, "where it runs"], [this.code, picture.code && `code ${picture.code.slice(0, 8)}`, picture.codeNote || picture.code]]) {
      fill(node, text);
      node.title = title || "";
    }
    mark(this.code, "missing", picture.codeNote);
  }

  // The way back and up; made anew only when it changed, so that focus stays.
  showWay(picture) {
    const back = picture.back || [];
    const key = JSON.stringify([back, picture.parent]);
    if (key === this.way) return;
    this.way = key;
    this.crumbs.hidden = !back.length;
    const steps = back.map((id) => link(id === "table" ? "all instances" : id, () => this.view.go(id)));
    this.crumbs.replaceChildren("← ", ...steps.flatMap((step) => [step, " › "]), h("span", "quiet", picture.id));
    this.parent.replaceChildren(...(picture.parent ? ["child of ", link(picture.parent, () => this.view.go(picture.parent))] : []));
    this.parent.hidden = !picture.parent;
  }

  // From a task of the timeline to its exchanges or payloads.
  follow(row) {
    const name = row.k === "http" ? "http" : "payloads";
    if (this.tabs.names.includes(name)) this.tabs.choose(name).only(row);
  }

  end() {
    this.tabs.end();
  }
}

VIEWS.instance = Instance;
