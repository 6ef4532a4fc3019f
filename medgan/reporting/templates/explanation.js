"use strict";
// Sorting and filtering only: without scripts the page shows everything.
(function () {
  const value = (cell) => {
    const text = cell.textContent.trim().replace(/\u2212/g, "-");
    const number = parseFloat(text);
    return { text: text, number: /^[-+]?\d/.test(text) && !Number.isNaN(number) ? number : null };
  };

  const sortBy = (table, column, header) => {
    const rising = header.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row, place) => ({ row, place, key: value(row.cells[column]) }));
    rows.sort((a, b) => {
      // What has no number comes last, whichever way the rest goes.
      if ((a.key.number === null) !== (b.key.number === null)) return a.key.number === null ? 1 : -1;
      const order = a.key.number === null ? a.key.text.localeCompare(b.key.text) : a.key.number - b.key.number;
      return order === 0 ? a.place - b.place : rising ? order : -order;
    });
    rows.forEach((one) => body.append(one.row));
  };

  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("thead th").forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      button.addEventListener("click", () => sortBy(table, column, header));
    });
  });

  const chosen = { kind: "", direction: "" };
  const status = document.getElementById("filter-status");
  const apply = () => {
    let visible = 0;
    document.querySelectorAll("[data-kind]").forEach((one) => {
      const hidden =
        (chosen.kind && one.dataset.kind !== chosen.kind) ||
        (chosen.direction && one.dataset.direction !== chosen.direction);
      one.hidden = Boolean(hidden);
      if (!hidden && one.tagName === "TR") visible += 1;
    });
    if (status) status.textContent = visible + (visible === 1 ? " case" : " cases");
  };
  document.querySelectorAll("[data-filter]").forEach((button) => {
    button.addEventListener("click", () => {
      chosen[button.dataset.filter] = button.dataset.value;
      document.querySelectorAll('[data-filter="' + button.dataset.filter + '"]').forEach((other) => {
        other.setAttribute("aria-pressed", other === button ? "true" : "false");
      });
      apply();
    });
  });
  document.querySelectorAll(".choices").forEach((one) => { one.hidden = false; });

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || (event.key !== "j" && event.key !== "k")) return;
    const cases = Array.from(document.querySelectorAll("article.case")).filter((one) => !one.hidden);
    if (!cases.length) return;
    const at = cases.indexOf(document.activeElement ? document.activeElement.closest("article.case") : null);
    const next = at < 0 ? 0 : Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), cases.length - 1);
    cases[next].focus();
    cases[next].scrollIntoView({ block: "start" });
  });
  apply();
})();
