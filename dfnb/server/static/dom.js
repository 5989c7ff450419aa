// Pieces of the page. Every text goes in as text, never as HTML.

const LONGEST_TEXT = 100_000;

/** An element with attributes (functions are listeners, false leaves one out) and children (texts or elements). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Sets the text if it is another: a selection in it, and what a screen reader says of it, stay alone otherwise. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

export function sayOrHide(element, text) {
  say(element, text ?? "");
  element.hidden = !text;
}

export const pill = () => make("span", { class: "pill" });

export function setPill(element, status) {
  element.dataset.status = status;
  return say(element, status);
}

/** A time of day, with the date when it is another day; the whole of it is in the tooltip. */
export function setTime(element, iso) {
  const time = new Date(iso);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  element.dateTime = iso;
  element.title = iso;
  return say(element, time.toDateString() === new Date().toDateString() ? clock : `${day} ${clock}`);
}

/** A value for people: texts as they are, everything else as JSON. */
export function shown(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const rest = text.length - LONGEST_TEXT;
  return rest > 0 ? `${text.slice(0, LONGEST_TEXT)}\n… and ${rest} more characters` : text;
}
