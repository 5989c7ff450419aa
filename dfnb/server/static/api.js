// Requests to the management API: the key, errors as sentences, and streams that come back by themselves.

const API = new URL("runtime/webhooks/durabletask/", document.baseURI);
const KEPT_AS = `dfnb key ${API.pathname}`; // one origin may have many servers behind path prefixes
const UNREACHABLE = "The server does not answer. It may have been stopped: start it again with %dfnb serve, this page goes on by itself.";
const LONGEST_PAUSE = 15;

let key = sessionStorage.getItem(KEPT_AS) ?? "";

export const hasKey = () => key !== "";

export function useKey(text) {
  key = text;
  if (key) sessionStorage.setItem(KEPT_AS, key);
  else sessionStorage.removeItem(KEPT_AS);
}

/** An answer that is no success; its message is for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function sentence(answer) {
  try {
    const body = await answer.json();
    const text = typeof body === "string" ? body : body.ExceptionMessage || body.Message;
    if (text) return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  } catch {} // no JSON: then its code has to do
  if (answer.status === 401) return key ? "This key does not open the server. Enter the one it shows now." : "Enter the key to go on.";
  if (answer.status === 404) return "There is no such instance. It may have been purged.";
  if (answer.status === 410) return "The instance has ended already.";
  return `The server answered ${answer.status}. Its log has more.`;
}

/** The answer, if it is a success. */
export async function ask(path, options = {}) {
  const headers = { ...(key && { "x-functions-key": key }), ...options.headers };
  let answer;
  try {
    answer = await fetch(new URL(path, API), { cache: "no-store", redirect: "error", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, UNREACHABLE);
  }
  if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
  return answer;
}

export const instancePath = (id, rest = "") => `instances/${encodeURIComponent(id)}${rest}`;

/** The events of a stream, and its comments as events without a type. */
async function* events(path, signal) {
  const answer = await ask(path, { headers: { Accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const one of whole) yield read(one);
  }
}

function read(text) {
  const event = { type: "", data: null };
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) event.type = line.slice(7);
    if (line.startsWith("data: ")) event.data = JSON.parse(line.slice(6));
  }
  return event;
}

/**
 * Follows a stream until `stop`, or until `onEvent` returns true. It begins again when the connection is lost, and holds none while
 * nobody looks at the page: a browser has few connections for all pages of a server.
 */
export class Follower {
  constructor(path, onEvent, onProblem) {
    Object.assign(this, { path, onEvent, onProblem, over: false, abort: null });
    this.look = () => (document.hidden ? this.abort?.abort() : this.run());
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  stop() {
    this.over = true;
    this.abort?.abort();
    document.removeEventListener("visibilitychange", this.look);
  }

  async run() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    for (let pause = 1; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      try {
        for await (const event of events(this.path, signal)) {
          if (signal.aborted) return;
          pause = 1;
          this.onProblem(null);
          if (this.onEvent(event)) return this.stop();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!this.goesOnAfter(error)) return this.stop();
      }
      await new Promise((wake) => {
        const timer = setTimeout(wake, 1000 * pause);
        signal.addEventListener("abort", () => (clearTimeout(timer), wake()));
      });
    }
  }

  goesOnAfter(error) {
    const problem = error instanceof Refused ? error : new Refused(0, UNREACHABLE);
    this.onProblem(problem);
    return problem.status === 0 || problem.status >= 500;
  }
}
