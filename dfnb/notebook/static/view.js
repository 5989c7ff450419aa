// Shows one instance, or a table of instances, from a snapshot and the deltas that follow it.
// The kernel sends absolute times; what counts on (elapsed, countdown) is computed here, also while the kernel is busy.

const EVENTS_KEPT = 50;

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---- times

function clock(at) {
  const when = new Date(at);
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  return when.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

function span(milliseconds, exact = false) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (exact && milliseconds < 1) return "<1 ms";
  if (exact && seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (exact && seconds < 10) return `${seconds.toFixed(2)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function elapsed(picture, now) {
  if (!picture.created) return "";
  if (picture.ended) return span(picture.ended - picture.created, true);
  return picture.over ? "" : span(now - picture.created);
}

function waiting(wait, now) {
  if (wait.next) {
    const left = wait.next - now;
    return left > 0 ? `${wait.text} (next request at ${clock(wait.next)}, in ${span(left + 999)})` : wait.text;
  }
  if (wait.until) {
    const left = wait.until - now;
    return `${wait.text} until ${clock(wait.until)}${left > 0 ? ` (in ${span(left + 999)})` : ""}`;
  }
  return wait.since ? `${wait.text} since ${clock(wait.since)}` : wait.text;
}

function state(picture) {
  return picture.held ? "Held" : picture.status;
}

// ---- the parts of a view

function showWaits(node, picture, now) {
  const lines = picture.held ? [{ text: picture.held, missing: true }] : picture.waits || [];
  while (node.children.length > lines.length) node.lastChild.remove();
  lines.forEach((wait, index) => {
    const line = node.children[index] || node.appendChild(element("div", "dfnb-wait"));
    line.classList.toggle("dfnb-missing", Boolean(wait.missing));
    write(line, waiting(wait, now));
  });
}

function callText(call, now) {
  const words = [call.polls === 1 ? "1 poll" : call.polls ? `${call.polls} polls` : ""];
  if (call.next) words.push(call.next > now ? `next request in ${span(call.next - now + 999)}` : "request under way");
  return [...words, call.note].filter(Boolean).join(", ");
}

function showCalls(node, calls, now) {
  while (node.children.length > calls.length) node.lastChild.remove();
  calls.forEach((call, index) => {
    let line = node.children[index];
    if (!line) {
      line = node.appendChild(element("div"));
      line.append(element("span", "dfnb-pill"), " ", element("span", "dfnb-mono"), " ", element("span"));
    }
    line.dataset.state = call.state;
    const [pill, name, words] = line.children;
    write(pill, call.status);
    write(name, call.name);
    write(words, callText(call, now));
  });
}

function eventText(event) {
  const words = [event.kind, event.name];
  if (event.until) words.push(`until ${clock(event.until)}`);
  if (event.took !== undefined) words.push(span(event.took, true));
  if (event.note) words.push(event.note);
  return words.filter(Boolean).join(" ");
}

// A list that keeps its place: it stays at its end unless one has scrolled up.
function showLines(node, lines, toText) {
  const atEnd = node.scrollTop + node.clientHeight >= node.scrollHeight - 4;
  const key = (line) => `${line.n} ${line.at}`;
  const wanted = new Set(lines.map(key));
  while (node.firstChild && !wanted.has(node.firstChild.dataset.key)) node.firstChild.remove();
  const present = new Set([...node.children].map((child) => child.dataset.key));
  for (const line of lines) {
    if (present.has(key(line))) continue;
    const row = node.appendChild(element("div"));
    row.dataset.key = key(line);
    row.append(element("span", "", clock(line.at)), element("span", line.bad ? "dfnb-bad" : "", toText(line)));
  }
  if (atEnd) node.scrollTop = node.scrollHeight;
}

function labelled(card, label, className = "") {
  const row = card.appendChild(element("div", "dfnb-row"));
  row.append(element("span", "", label));
  return row.appendChild(element("div", className));
}

function fill(node, text) {
  node.parentElement.hidden = !text;
  write(node, text || "");
}

function instanceView(root) {
  const card = root.appendChild(element("div", "dfnb-card"));
  const head = card.appendChild(element("div", "dfnb-head"));
  const pill = head.appendChild(element("span", "dfnb-pill"));
  const name = head.appendChild(element("span", "dfnb-name"));
  const id = head.appendChild(element("span", "dfnb-id"));
  const time = head.appendChild(element("span", "dfnb-time dfnb-quiet"));
  const waits = labelled(card, "waiting for");
  const calls = labelled(card, "HTTP calls", "dfnb-calls");
  const custom = labelled(card, "custom status");
  const output = labelled(card, "output", "dfnb-mono");
  const failure = labelled(card, "failure", "dfnb-bad");
  const note = labelled(card, "note");
  const events = labelled(card, "events", "dfnb-list dfnb-mono");
  const logs = labelled(card, "printed", "dfnb-list dfnb-mono");
  return (picture, now) => {
    card.dataset.state = state(picture);
    write(pill, state(picture) || "?");
    write(name, picture.name);
    write(id, picture.id);
    write(time, elapsed(picture, now));
    time.title = picture.created ? `started ${clock(picture.created)}` : "";
    showWaits(waits, picture, now);
    write(waits.previousSibling, picture.held ? "held" : "waiting for");
    waits.parentElement.hidden = !waits.children.length;
    showCalls(calls, picture.calls || [], now);
    calls.parentElement.hidden = !calls.children.length;
    fill(custom, picture.custom);
    fill(output, picture.output);
    fill(failure, picture.failure);
    fill(note, picture.note);
    showLines(events, picture.events || [], eventText);
    events.parentElement.hidden = !events.children.length;
    showLines(logs, picture.logs || [], (line) => line.text);
    logs.parentElement.hidden = !logs.children.length;
  };
}

function tableView(root) {
  const table = root.appendChild(element("table"));
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const title of ["status", "name", "id", "elapsed", "waiting for"]) head.append(element("th", "", title));
  const body = table.appendChild(element("tbody"));
  const more = root.appendChild(element("div", "dfnb-quiet"));
  const rows = new Map();

  function row(id) {
    if (!rows.has(id)) {
      const line = element("tr");
      const cells = ["", "dfnb-name", "dfnb-id", "dfnb-time", ""].map((name) => line.appendChild(element("td", name)));
      cells[0].append(element("span", "dfnb-pill"));
      rows.set(id, { line, cells });
    }
    return rows.get(id);
  }

  return (picture, now) => {
    picture.order.forEach((id, index) => {
      const one = picture.rows[id];
      const { line, cells } = row(id);
      if (body.children[index] !== line) body.insertBefore(line, body.children[index] || null);
      line.dataset.state = state(one);
      write(cells[0].firstChild, state(one) || "?");
      write(cells[1], one.name);
      write(cells[2], one.id);
      write(cells[3], elapsed(one, now));
      showWaits(cells[4], one.note ? { waits: [{ text: one.note }] } : one, now);
    });
    while (body.children.length > picture.order.length) body.lastChild.remove();
    const words = [picture.order.length ? "" : "no instances", picture.more ? "there are more" : "", picture.note];
    write(more, words.filter(Boolean).join("; "));
  };
}

// ---- keeping in step

function merge(old, message) {
  const next = { ...(message.full || { ...old, ...message.set }), n: message.n, skew: message.now - Date.now() };
  if (message.events) next.events = [...(old.events || []), ...message.events].slice(-EVENTS_KEPT);
  if (message.rows) next.rows = { ...old.rows, ...message.rows };
  return next;
}

function initialize({ model }) {
  const first = model.get("snapshot");
  model.set("snapshot", { ...first, skew: first.now - Date.now() });
  model.on("msg:custom", (message) => {
    const have = model.get("snapshot");
    if (message.full || message.n === have.n + 1) model.set("snapshot", merge(have, message));
    else if (message.n > have.n) model.send({ seen: have.n }); // one was missed: the kernel sends all again
  });
  model.send({ seen: first.n });
}

function render({ model, el }) {
  el.classList.add("dfnb");
  const draw = (model.get("snapshot").kind === "table" ? tableView : instanceView)(el);
  const show = () => {
    const picture = model.get("snapshot");
    draw(picture, Date.now() + (picture.skew || 0));
  };
  show();
  model.on("change:snapshot", show);
  const timer = setInterval(show, 1000);
  return () => {
    clearInterval(timer);
    model.off("change:snapshot", show);
  };
}

export default { initialize, render };
