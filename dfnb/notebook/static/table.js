// A table of instances.

function tableView(view, root) {
  const table = root.appendChild(h("table"));
  const head = table.appendChild(h("thead")).appendChild(h("tr"));
  for (const title of ["status", "name", "id", "elapsed", "waiting for"]) head.append(h("th", "", title));
  const body = table.appendChild(h("tbody"));
  const more = root.appendChild(h("div", "dfnb-quiet"));
  const rows = new Map();

  function row(id) {
    if (!rows.has(id)) {
      const line = h("tr");
      const cells = ["", "dfnb-name", "dfnb-id", "dfnb-time", ""].map((name) => line.appendChild(h("td", name)));
      cells[0].append(h("span", "dfnb-pill"));
      rows.set(id, { line, cells });
    }
    return rows.get(id);
  }

  function show(picture, now) {
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
    return Math.min(...Object.values(picture.rows).map((one) => pauseOf(one, now) || Infinity), 1e6);
  }

  return { show, end() {} };
}

VIEWS.table = tableView;
