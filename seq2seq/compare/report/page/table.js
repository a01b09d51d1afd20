// The table of results: a click on a column heading sorts by it, best first, and another click reverses the order.
// The reader chooses the columns; at first they are the main ones, as many as fit the window.

/** The value to sort by, a number in a column of numbers; null if it is missing. */
function sortValue(row, column, isNumber) {
  const value = row.cells[column].dataset.value;
  if (value === undefined) return null;
  return isNumber ? Number(value) : value;
}

function sortTable(table, column) {
  const heads = [...table.tHead.rows[0].cells], isNumber = heads[column].classList.contains("number");
  const bestFirst = heads[column].dataset.better === "higher" ? "descending" : "ascending";
  const reverse = bestFirst === "ascending" ? "descending" : "ascending";
  const order = heads[column].getAttribute("aria-sort") === bestFirst ? reverse : bestFirst;
  heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? order : "none"));
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [a, b].map((row) => sortValue(row, column, isNumber));
    if (x === null || y === null) return (x === null) - (y === null); // missing values last
    return sign * (isNumber ? x - y : x.localeCompare(y));
  });
  table.tBodies[0].append(...rows);
}

function showColumn(table, column, visible) {
  for (const row of table.rows) row.cells[column].hidden = !visible;
}

/** Hide columns until the table fits its box: measures from the right, but not the first two, then seeds and settings. */
function fitColumns(table) {
  const box = table.parentElement, heads = [...table.tHead.rows[0].cells];
  const measures = heads.flatMap((head, i) => (head.classList.contains("number") && !head.hidden ? [i] : []));
  for (const column of [...measures.slice(2).reverse(), 2, 1, ...measures.slice(1, 2)]) {
    if (box.scrollWidth <= box.clientWidth) return;
    showColumn(table, column, false);
  }
}

/** A checkbox for each column but the first. */
function initColumns(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => showColumn(table, column, head.dataset.shown === "yes"));
  fitColumns(table);
  const boxes = heads.slice(1).map((head, i) => {
    const change = (event) => showColumn(table, i + 1, event.target.checked);
    const box = createHtml("input", { type: "checkbox", checked: !head.hidden, change });
    return createHtml("label", { class: "chip" }, box, head.textContent);
  });
  byId("columns").append(createHtml("div", { class: "chips" }, ...boxes));
  byId("columns").hidden = false;
}

function initTable() {
  const table = byId("results");
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sortTable(table, column));
  });
  initColumns(table);
}
