// One instance: what it is, why it waits, and tabs with all there is to know; below, what one may do with it.

const TABS = {
  timeline: ["Timeline", "tasks"], history: ["History", "events"], http: ["HTTP", "exchanges"],
  payloads: ["Payloads"], logs: ["Logs", "logs"], code: ["Code"],
};
const ACTIONS = {
  suspend: { text: "Suspend", now: true },
  resume: { text: "Resume", now: true },
  raise: { text: "Raise event", go: "Raise event", keep: "Cancel" },
  rewind: { text: "Rewind", ask: "Rewind: run what failed again?", go: "Rewind", keep: "Keep", reason: true },
  restart: { text: "Restart", ask: "Start it anew with the same input?", go: "Restart", keep: "Cancel" },
  terminate: { text: "Terminate", ask: "Terminate this instance?", go: "Terminate", keep: "Keep", reason: true, bad: true },
  purge: { text: "Purge", ask: "Delete this instance and its whole history?", go: "Purge", keep: "Keep", bad: true },
};

function labelled(card, label, className = "") {
  const row = card.appendChild(h("div", "dfnb-row", h("span", "", label)));
  row.hidden = true;
  return row.appendChild(h("div", className));
}

function fill(node, text) {
  node.parentElement.hidden = !text;
  write(node, text || "");
}

// ---- what one may do

class Actions {
  constructor(view) {
    this.view = view;
    this.buttons = h("div", "dfnb-tools dfnb-actions");
    this.form = h("form", "dfnb-form");
    this.said = set(h("div", "dfnb-said"), { role: "status" });
    this.form.hidden = true;
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.form.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(true); });
    this.node = h("div", "dfnb-foot", this.buttons, this.form, this.said);
  }

  show(picture) {
    this.picture = picture;
    const offered = (picture.actions || []).filter((name) => name in ACTIONS);
    if (offered.join() === this.offered) return;
    this.offered = offered.join();
    const focused = this.buttons.contains(document.activeElement) && document.activeElement.dataset.action;
    this.buttons.replaceChildren(...offered.map((name) => this.button(name)));
    if (focused) this.buttons.querySelector(`[data-action="${focused}"]`)?.focus();
    if (!offered.includes(this.action)) this.close();
  }

  button(name) {
    const made = button(ACTIONS[name].text, () => this.begin(name), ACTIONS[name].bad ? "dfnb-danger" : "");
    made.dataset.action = name;
    made.disabled = Boolean(this.isAsking);
    return made;
  }

  begin(name) {
    write(this.said, "");
    if (ACTIONS[name].now) return this.send({ action: name });
    this.action = name;
    const { ask, go, keep, reason, bad } = ACTIONS[name];
    const fields = name === "raise" ? this.raiseFields() : name === "restart" ? this.restartFields() : reason ? this.reasonField() : [];
    this.go = set(h("button", `dfnb-button ${bad ? "dfnb-danger" : "dfnb-primary"}`, go), { type: "submit" });
    this.form.replaceChildren(...(ask ? [h("span", "dfnb-ask", ask)] : []), ...fields, this.go, button(keep, () => this.close(true)));
    this.form.hidden = false;
    (this.form.querySelector("input:not([type=checkbox]), textarea") || this.form.lastChild).focus();
  }

  reasonField() {
    this.reason = set(h("input"), { type: "text", placeholder: "reason", "aria-label": "reason" });
    return [this.reason];
  }

  restartFields() {
    this.same = set(h("input"), { type: "checkbox" });
    const warning = h("span", "dfnb-missing", "its history so far is deleted");
    warning.hidden = true;
    this.same.addEventListener("change", () => {
      warning.hidden = !this.same.checked;
      write(this.go, this.same.checked ? "Restart and replace" : "Restart");
      this.go.classList.toggle("dfnb-danger", this.same.checked);
    });
    return [h("label", "", this.same, " keep the id"), warning];
  }

  // Names of events it waits for come first: one of them is what one means.
  raiseFields() {
    const open = Object.values(this.picture.rows || {}).filter((row) => row.k === "event" && row.e == null).map((row) => row.n);
    const told = (this.picture.waits || []).map((wait) => /^event (\S+)/.exec(wait.text)?.[1]);
    const names = [...new Set([...open, ...told].filter(Boolean))];
    const list = h("datalist", "", ...names.map((name) => set(h("option"), { value: name })));
    list.id = `${this.view.uid}-events`;
    this.name = set(h("input"), { type: "text", list: list.id, required: "" });
    this.name.value = names[0] || "";
    this.data = set(h("textarea", "dfnb-mono"), { rows: 2, spellcheck: "false" });
    this.data.value = "null";
    this.wrong = set(h("span", "dfnb-bad"), { role: "alert" });
    this.data.addEventListener("input", () => this.check());
    return [field("event", this.name), list, field("data (JSON)", this.data), this.wrong];
  }

  check() {
    let problem = "";
    try {
      JSON.parse(this.data.value || "null");
    } catch (error) {
      problem = `not JSON yet (texts need double quotes): ${error.message}`;
    }
    write(this.wrong, problem);
    set(this.data, { "aria-invalid": String(Boolean(problem)) });
    this.go.disabled = Boolean(problem);
    return !problem;
  }

  submit() {
    const { action } = this;
    if (action === "raise" && !this.check()) return;
    const more = {
      raise: () => ({ name: this.name.value.trim(), data: this.data.value.trim() || "null" }),
      restart: () => ({ sameId: this.same.checked }),
      purge: () => ({}),
    };
    this.send({ action, ...(more[action] || (() => ({ reason: this.reason.value.trim() })))() });
    this.close();
  }

  close(back = false) {
    const name = this.action;
    this.action = null;
    this.form.hidden = true;
    this.form.replaceChildren();
    if (back) this.buttons.querySelector(`[data-action="${name}"]`)?.focus();
  }

  // The click is acknowledged here at once; the kernel may be busy for long.
  async send(fields) {
    this.take(true);
    this.said.classList.remove("dfnb-bad");
    write(this.said, "asked…");
    try {
      const { done, instance } = await this.view.ask("do", fields);
      write(this.said, done);
      if (instance && instance !== this.picture.id) this.said.append(" ", link(`show ${instance}`, () => this.view.go(instance)));
    } catch (error) {
      write(this.said, error.message);
      this.said.classList.add("dfnb-bad");
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
    this.bar = set(h("div", "dfnb-tabs"), { role: "tablist", "aria-label": "Views" });
    this.place = set(h("div", "dfnb-panel"), { role: "tabpanel", id: `${view.uid}-panel` });
    this.bar.addEventListener("keydown", (event) => this.pressed(event));
    this.node = h("div", "", this.bar, this.place);
  }

  show(picture, now) {
    Object.assign(this, { picture, now });
    const names = (picture.tabs || []).filter((name) => name in TABS);
    this.node.hidden = !names.length;
    if (names.join() !== this.names?.join()) this.build(names);
    for (const name of names) write(this.tabs[name].lastChild, this.count(name));
    this.made[this.open]?.show(picture, now);
  }

  count(name) {
    const number = this.picture.counts?.[TABS[name][1]];
    return number ? number.toLocaleString("en") : "";
  }

  build(names) {
    this.names = names;
    for (const name of names) this.tabs[name] ||= this.tab(name);
    this.bar.replaceChildren(...names.map((name) => this.tabs[name]));
    if (!names.includes(this.open)) this.choose(names[0]);
  }

  tab(name) {
    const made = button(TABS[name][0], () => this.choose(name), "dfnb-tab");
    made.append(h("span", "dfnb-count"));
    return set(made, { role: "tab", id: `${this.view.uid}-${name}`, "aria-controls": this.place.id });
  }

  choose(name) {
    this.open = name;
    if (!name) return null;
    for (const [one, tab] of Object.entries(this.tabs)) set(tab, { "aria-selected": String(one === name), tabindex: one === name ? 0 : -1 });
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
    for (const panel of Object.values(this.made)) panel.end();
  }
}

// ---- the card

class Instance {
  constructor(view, root) {
    this.view = view;
    const card = (this.card = root.appendChild(set(h("div", "dfnb-card"), { role: "region" })));
    this.crumbs = card.appendChild(set(h("nav", "dfnb-crumbs"), { "aria-label": "Way back" }));
    this.head(card.appendChild(h("div", "dfnb-head")));
    this.waits = labelled(card, "waiting for");
    this.custom = labelled(card, "custom status");
    this.output = labelled(card, "output", "dfnb-mono dfnb-short");
    this.failure = labelled(card, "failure", "dfnb-bad dfnb-short");
    this.note = labelled(card, "note");
    this.tabs = new Tabs(view, {
      timeline: () => new Timeline(view, (row) => this.follow(row)), history: (picture) => new HistoryPanel(view, picture),
      http: (picture) => new HttpPanel(view, picture), payloads: () => new PayloadsPanel(view),
      logs: (picture) => new LogsPanel(view, picture), code: () => new CodePanel(view),
    });
    this.actions = new Actions(view);
    card.append(this.tabs.node, this.actions.node);
  }

  head(node) {
    this.pill = h("span", "dfnb-pill");
    this.name = h("span", "dfnb-name");
    this.id = h("span", "dfnb-id");
    this.parent = h("span", "dfnb-quiet");
    this.code = h("span", "dfnb-tag dfnb-mono");
    this.where = h("span", "dfnb-tag");
    this.time = h("span", "dfnb-time dfnb-quiet");
    node.append(this.pill, this.name, this.id, this.parent, this.where, this.code, this.time);
  }

  show(picture, now) {
    this.showHead(picture, now);
    this.showWay(picture);
    showWaits(this.waits, picture, now);
    write(this.waits.previousSibling, picture.held ? "held" : "waiting for");
    this.waits.parentElement.hidden = !this.waits.children.length;
    fill(this.custom, picture.custom);
    fill(this.output, picture.output);
    fill(this.failure, picture.failure);
    fill(this.note, [picture.codeNote, picture.note].filter(Boolean).join("; "));
    this.tabs.show(picture, now);
    this.actions.show(picture);
    return pauseOf(picture, now);
  }

  showHead(picture, now) {
    this.card.dataset.state = state(picture);
    set(this.card, { "aria-label": `Instance ${picture.id}` });
    write(this.pill, state(picture) || "?");
    write(this.name, picture.name || "");
    write(this.id, picture.id || "");
    write(this.time, elapsed(picture, now));
    this.time.title = picture.created ? `started ${clock(picture.created)}` : "";
    for (const [node, text, title] of [[this.where, picture.where, "where it runs"], [this.code, picture.code && `code ${picture.code.slice(0, 8)}`, picture.codeNote || picture.code]]) {
      node.hidden = !text;
      write(node, text || "");
      node.title = title || "";
    }
    this.code.classList.toggle("dfnb-missing", Boolean(picture.codeNote));
  }

  // The way back and up; made anew only when it changed, so that focus stays.
  showWay(picture) {
    const back = picture.back || [];
    const key = JSON.stringify([back, picture.parent]);
    if (key === this.way) return;
    this.way = key;
    this.crumbs.hidden = !back.length;
    const steps = back.map((id) => link(id === "table" ? "all instances" : id, () => this.view.go(id)));
    this.crumbs.replaceChildren("← ", ...steps.flatMap((step) => [step, " › "]), h("span", "dfnb-quiet", picture.id));
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

VIEWS.instance = (view, root) => new Instance(view, root);
