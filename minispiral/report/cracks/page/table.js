// The table of cracks: sorted by any column; a row leads to its crack.
class CrackTable {
  constructor(table, choose) {
    this.table = table;
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (event.target.closest("button")) this.sort(head);
    });
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && !String(getSelection())) choose(Number(row.dataset.crack)); // who marks text wants to copy it
    });
  }

  // By the column of a heading, widest or largest first; the other way round the next time.
  sort(head) {
    const down = head.getAttribute("aria-sort") !== "descending", column = head.cellIndex;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => Number(row.cells[column].dataset.value); // NaN where unknown: last
    const order = (a, b) => (Number.isNaN(a) - Number.isNaN(b)) || (down ? b - a : a - b) || 0;
    this.body.append(...[...this.body.rows].sort((a, b) => order(value(a), value(b))));
  }

  mark(crack) {
    for (const row of this.rows) row.removeAttribute("aria-current");
    this.rows[crack]?.setAttribute("aria-current", "true");
  }

  // Bring a row into the table's own window; the page itself stays where it is.
  reveal(crack) {
    const row = this.rows[crack], frame = this.table.parentNode;
    const head = this.table.tHead.offsetHeight;
    if (row.offsetTop < frame.scrollTop + head || row.offsetTop + row.offsetHeight > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = row.offsetTop - head - 40;
    }
  }
}
