// The status page: asks for the key, lists instances, shows one of them. The address behind # says which one.

import { Follower, ask, hasKey, useKey } from "./api.js";
import { make, pill, say, sayOrHide, setPill, setTime } from "./dom.js";
import { InstanceView } from "./instance.js";

const STATUSES = ["Running", "Pending", "Suspended", "Completed", "Failed", "Terminated", "ContinuedAsNew", "Canceled"];
const PAGE = 50;
const AT_MOST_EVERY = 500;
const TYPING = 250;

const at = (id) => document.getElementById(id);
const rows = new Map();
const pages = [""]; // continuation tokens of the pages before this one, and of this one
let next = "";
let view = null;
let follower = null;
let asked = 0;
let timer = 0;

// ---- the address and the key

const address = () => new URLSearchParams(location.hash.slice(1));

function takeKeyFromAddress() {
  const given = address();
  if (!given.has("code")) return;
  useKey(given.get("code"));
  given.delete("code");
  history.replaceState(null, "", `${location.pathname}${location.search}${given.size ? `#${given}` : ""}`);
}

function go(id) {
  const before = address().get("id");
  if (id !== (before ?? "")) history.pushState(null, "", id ? `#${new URLSearchParams({ id })}` : location.pathname + location.search);
  showChosen();
  if (!id && before) rows.get(before)?.link.focus();
}

function locked(why) {
  stop();
  useKey("");
  at("main").hidden = true;
  at("forget").hidden = true;
  at("key").hidden = false;
  sayOrHide(at("problem"), why);
  say(at("connection"), "");
  at("code").focus();
}

function stop() {
  follower?.stop();
  view?.close();
  follower = view = null;
}

// ---- the list

async function load() {
  clearTimeout(timer);
  timer = 0;
  const number = ++asked;
  const query = new URLSearchParams({ top: PAGE, showInput: "false" });
  if (at("status").value) query.set("runtimeStatus", at("status").value);
  if (at("prefix").value) query.set("instanceIdPrefix", at("prefix").value);
  try {
    const token = pages.at(-1);
    const answer = await ask(`instances?${query}`, { headers: token ? { "x-ms-continuation-token": token } : {} });
    const found = await answer.json();
    if (number !== asked) return; // another question was asked meanwhile
    next = answer.headers.get("x-ms-continuation-token") ?? "";
    list(found);
    sayOrHide(at("problem"), "");
  } catch (error) {
    if (number === asked) failed(error);
  }
}

function failed(error) {
  if (error.status === 401) locked(hasKey() ? error.message : "");
  else sayOrHide(at("problem"), error.message);
}

function list(found) {
  at("main").hidden = false;
  const shown = new Set(found.map((one) => one.instanceId));
  for (const [id, row] of rows) if (!shown.has(id)) (row.element.remove(), rows.delete(id));
  found.forEach((one, place) => {
    const row = rows.get(one.instanceId) ?? newRow(one.instanceId);
    setPill(row.pill, one.runtimeStatus);
    say(row.name, one.name);
    setTime(row.created, one.createdTime);
    setTime(row.updated, one.lastUpdatedTime);
    if (at("rows").children[place] !== row.element) at("rows").insertBefore(row.element, at("rows").children[place] ?? null);
  });
  mark();
  const filtered = at("status").value || at("prefix").value;
  sayOrHide(at("empty"), found.length ? "" : filtered ? "No instance fits." : "No instance has been started yet.");
  at("newer").hidden = pages.length === 1;
  at("older").hidden = !next;
}

function newRow(id) {
  const row = { pill: pill(), name: make("span"), created: make("time"), updated: make("time") };
  row.link = make("a", { href: `#${new URLSearchParams({ id })}`, class: "mono" }, id);
  const cells = [row.pill, row.name, row.link, row.created, row.updated];
  row.element = make("tr", { click: (event) => event.target.closest("a") || getSelection().toString() || go(id) }, ...cells.map((one) => make("td", {}, one)));
  rows.set(id, row);
  return row;
}

function mark() {
  const chosen = address().get("id");
  for (const [id, row] of rows) {
    row.element.classList.toggle("chosen", id === chosen);
    if (id === chosen) row.link.setAttribute("aria-current", "true");
    else row.link.removeAttribute("aria-current");
  }
}

function firstPage() {
  pages.splice(0, pages.length, "");
  return load();
}

// ---- one instance

function showChosen() {
  const id = address().get("id");
  document.title = id ? `${id} – dfnb` : "dfnb";
  document.body.classList.toggle("one", Boolean(id));
  mark();
  if (view?.id === id) return;
  view?.close();
  view = id ? new InstanceView(at("instance"), id, { go, locked }) : null;
  if (view) view.name.focus();
  else at("instance").replaceChildren();
  at("instance").hidden = !view;
}

// ---- live

function onChange({ type, data }) {
  if (type === "changes" && view && data.includes(view.id)) view.changed();
  if (!timer) timer = setTimeout(load, AT_MOST_EVERY); // a comment says that the stream is there: what came before it is read again
}

function onProblem(error) {
  say(at("connection"), error ? "not connected" : "live");
  if (error) failed(error);
}

async function start() {
  sayOrHide(at("problem"), "");
  at("key").hidden = true;
  await load();
  if (at("main").hidden) return;
  at("forget").hidden = !hasKey();
  follower = new Follower("changes", onChange, onProblem);
  showChosen();
}

say(at("where"), location.host);
at("status").append(...STATUSES.map((status) => make("option", {}, status)));
at("status").addEventListener("change", firstPage);
at("prefix").addEventListener("input", () => (clearTimeout(timer), (timer = setTimeout(firstPage, TYPING))));
at("filter").addEventListener("submit", (event) => (event.preventDefault(), firstPage()));
at("older").addEventListener("click", () => (pages.push(next), load()));
at("newer").addEventListener("click", () => (pages.pop(), load()));
at("forget").addEventListener("click", () => locked(""));
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("code").value.trim());
  at("code").value = "";
  start();
});
addEventListener("hashchange", () => {
  takeKeyFromAddress();
  if (!at("main").hidden) showChosen();
});
addEventListener("popstate", () => at("main").hidden || showChosen());
takeKeyFromAddress();
start();
