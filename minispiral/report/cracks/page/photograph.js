// One photograph: its picture, its table and its figures, which show the same cracks.
class Photograph {
  constructor(section) {
    const data = (name) => JSON.parse(section.querySelector(`.${name}-data`).textContent);
    this.section = section;
    this.figures = data("figures");
    this.stage = section.querySelector(".stage");
    const table = section.querySelector(".cracks");
    if (table) this.table = new CrackTable(table, (crack) => this.choose(crack, true));
    if (this.stage) {
      this.view = new View(this.stage, this.figures, data("images"));
      listen(this.stage, this.view, (element) => {
        const group = element?.closest(".crack");
        if (group && this.stage.contains(group)) this.choose(Number(group.dataset.crack), false);
      }, () => section.querySelector(".show-cracks").click());
      this.listenToTools();
    }
  }

  listenToTools() {
    const { view, section } = this, tool = (name) => section.querySelector(name);
    const buttons = { in: () => view.zoom(1.5), out: () => view.zoom(1 / 1.5), whole: () => view.whole() };
    tool(".zoom").addEventListener("click", (event) => buttons[event.target.dataset.do]?.());
    tool(".show-cracks").addEventListener("change", (event) => {
      view.overlay.classList.toggle("without-cracks", !event.target.checked);
    });
    tool(".show-map").addEventListener("change", async (event) => {
      view.showMap = event.target.checked;
      if (view.showMap) await view.chances.load();
      view.draw();
    });
  }

  // Draw the cracks whose mean probability is at least that of the level, and count them alone.
  setThreshold(level, probability, aloud) {
    const { figures, section } = this;
    const low = figures.cracks.map((crack) => crack.probability < probability);
    for (const each of section.querySelectorAll("[data-crack]")) {
      each.classList.toggle("low", low[each.dataset.crack]);
    }
    const drawn = figures.cracks.filter((_, i) => !low[i]);
    if (low.length) {
      fillClasses(section.querySelector(".classes"), drawn, figures.unit);
      drawHistogram(section.querySelector(".histogram"), figures, drawn);
      sayShare(section.querySelector(".share"), figures, drawn);
    }
    if (!this.view) return;
    const slider = section.querySelector(".threshold"), said = level ? formatted(probability, 2) : "none";
    slider.value = level;
    slider.setAttribute("aria-valuetext", said);
    section.querySelector(".threshold-value").textContent = said;
    if (low.length) this.say(`${formatted(drawn.length, 0)} of ${formatted(low.length, 0)} lines drawn.`, aloud);
    this.view.chances.setLevel(level);
    this.view.draw();
  }

  // Mark a crack in the picture and in the table. From the table, show its place in the picture.
  choose(crack, fromTable) {
    for (const each of this.section.querySelectorAll(".crack")) {
      each.classList.toggle("chosen", Number(each.dataset.crack) === crack);
    }
    this.table.mark(crack);
    const row = this.table.rows[crack];
    this.say(`Crack ${this.figures.cracks[crack].number}: ${row.cells[2].textContent.trim()} ${this.figures.unit} wide, ${
      row.cells[5].textContent.trim()} ${this.figures.unit} long.`, true);
    if (!fromTable) {
      this.table.reveal(crack);
    } else if (this.view) {
      this.view.showBox(this.figures.cracks[crack].box);
      this.stage.scrollIntoView({ block: "nearest" });
    }
  }

  // Below the picture and, aloud, to those who do not see it.
  say(text, aloud) {
    this.section.querySelector(".said").textContent = text;
    if (aloud) document.getElementById("live").textContent = text;
  }
}
