// Figures to touch: where a script runs, a picture of this folder gives way to a drawing with inputs.
//
// A figure is an entry of `touch.figures`, under the name of its picture: `inputs` (a list of {name,
// label, value} with options, or with min, max and step; max may depend on the values of inputs
// before), `compute` (numbers from values), `draw` (an SVG) and `say` (a sentence).
// Without a script, and in print, the picture is shown: `touch.still(name)`, kept as name.svg.

const touch = {
  figures: {},
  width: 400, // of all drawings, so that letters are as large on a telephone as on paper

  // Colours: those of the page's scheme, or what follows the comma.
  ink: "var(--touch-ink, #222)",
  faint: "var(--touch-faint, #bbb)",
  ground: "var(--touch-ground, #eee)",
  blue: "var(--touch-blue, #1565a0)",
  orange: "var(--touch-orange, #b34700)",

  rect: (x, y, w, h, fill, more = "") =>
    `<rect x="${+x.toFixed(2)}" y="${+y.toFixed(2)}" width="${+w.toFixed(2)}" ` +
    `height="${+h.toFixed(2)}" style="fill:${fill};${more}"/>`,

  line: (points, color, more = "") =>
    `<polyline points="${points.map((p) => p.map((v) => +v.toFixed(2)).join()).join(" ")}" ` +
    `style="fill:none;stroke:${color};${more}"/>`,

  text: (x, y, words, anchor = "start", more = "") =>
    `<text x="${+x.toFixed(2)}" y="${+y.toFixed(2)}" text-anchor="${anchor}" ` +
    `style="font:12px sans-serif;fill:${touch.ink};${more}">${words}</text>`,

  svg: (height, inside) =>
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${touch.width} ${height}" ` +
    `width="${touch.width}" height="${height}" aria-hidden="true">${inside}</svg>`,

  // A number as people read it: four digits that count.
  number: (value) => String(+value.toPrecision(4)),

  most: (input, values) => (typeof input.max === "function" ? input.max(values) : input.max),

  first(name) {
    const values = {};
    for (const input of touch.figures[name].inputs) values[input.name] = input.value;
    return values;
  },

  still(name) {
    const figure = touch.figures[name];
    const values = touch.first(name);
    return figure.draw(figure.compute(values), values);
  },

  // Put a figure in front of its picture.
  show(name, picture) {
    const figure = touch.figures[name];
    const values = touch.first(name);
    const box = document.createElement("div");
    box.className = "touch";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", picture.alt);
    const form = document.createElement("div");
    form.className = "touch-inputs";
    const drawing = document.createElement("div");
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    const fields = figure.inputs.map((input) => {
      const label = document.createElement("label");
      const field = document.createElement(input.options ? "select" : "input");
      const value = document.createElement("output");
      if (input.options) {
        for (const option of input.options) field.add(new Option(option));
      } else {
        Object.assign(field, { type: "range", min: input.min, step: input.step });
      }
      field.addEventListener("input", () => {
        values[input.name] = input.options ? field.value : Number(field.value);
        update();
      });
      label.append(input.label, field, value);
      form.append(label);
      return [input, field, value];
    });
    function update() {
      for (const [input, field, value] of fields) {
        if (!input.options) {
          field.max = touch.most(input, values);
          values[input.name] = Math.min(values[input.name], field.max);
          value.textContent = touch.number(values[input.name]);
        }
        field.value = values[input.name];
      }
      const numbers = figure.compute(values);
      drawing.innerHTML = figure.draw(numbers, values);
      said.textContent = figure.say(numbers, values);
    }
    box.append(form, drawing, said);
    update();
    picture.parentNode.before(box);
    picture.parentNode.classList.add("touch-still");
  },

  start() {
    for (const picture of document.querySelectorAll('img[src*="figures/"][src$=".svg"]')) {
      const name = picture.getAttribute("src").split("/").pop().replace(".svg", "");
      if (name in touch.figures) touch.show(name, picture);
    }
  },
};

document.addEventListener("DOMContentLoaded", touch.start);
