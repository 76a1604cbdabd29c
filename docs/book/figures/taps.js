// Chapter 2: which pixels a window connects, and how many taps reach each pixel of a larger image.

touch.figures.taps = {
  small: 6, // pixels of the smaller row

  inputs: [
    { name: "way", label: "direction", options: ["gather", "scatter"], value: "scatter" },
    { name: "kernel", label: "kernel", min: 1, max: 5, step: 1, value: 3 },
    { name: "stride", label: "stride", min: 1, max: 3, step: 1, value: 2 },
    {
      name: "pad",
      label: "padding",
      min: 0,
      max: ({ kernel }) => Math.min(2, kernel - 1), // else a window may lie on zeros alone
      step: 1,
      value: 0,
    },
    { name: "place", label: "smaller row's pixel", min: 0, max: 5, step: 1, value: 2 },
  ],

  // Along one axis; a picture's count is the product of its row's and its column's.
  compute({ kernel, stride, pad, place }) {
    const larger = stride * (this.small - 1) + kernel - 2 * pad;
    const taps = Array(larger).fill(0);
    for (let j = 0; j < this.small; j++) {
      for (let q = 0; q < kernel; q++) {
        const col = stride * j + q - pad;
        if (col >= 0 && col < larger) taps[col] += 1;
      }
    }
    // Each pixel stride times, then a convolution of stride 1 with zeros around.
    const enlarged = stride * this.small;
    const border = Math.floor(kernel / 2);
    const resized = Array(enlarged + 2 * border - kernel + 1).fill(0);
    for (let j = 0; j < resized.length; j++) {
      for (let q = 0; q < kernel; q++) {
        if (j + q - border >= 0 && j + q - border < enlarged) resized[j] += 1;
      }
    }
    const start = stride * place - pad;
    const window = Array.from({ length: kernel }, (_, q) => start + q);
    return { larger, taps, resized, window };
  },

  draw({ larger, taps, resized, window }, { way, stride, pad, place }) {
    const cell = Math.min(26, (touch.width - 10) / (larger + 2 * pad));
    const left = (touch.width - cell * larger) / 2;
    const center = (col) => left + cell * (col + 0.5);
    const below = (j) => touch.width / 2 + 34 * (j - (this.small - 1) / 2);
    let out = touch.text(5, 14, "the larger row, and how many taps reach each pixel");
    for (let col = -pad; col < larger + pad; col++) {
      const real = col >= 0 && col < larger;
      const fill = !real ? "none" : window.includes(col) ? touch.orange : touch.ground;
      const dashed = real ? "" : ";stroke-dasharray:2 2";
      out += touch.rect(center(col) - cell / 2, 24, cell, 24, fill, `stroke:${touch.faint}${dashed}`);
      const light = window.includes(col) ? "fill:var(--touch-paper, #fff)" : "";
      if (real) out += touch.text(center(col), 40, taps[col], "middle", light);
    }
    for (let j = 0; j < this.small; j++) {
      const fill = j === place ? touch.blue : touch.ground;
      out += touch.rect(below(j) - 12, 108, 24, 24, fill, `stroke:${touch.faint}`);
    }
    for (const col of window) {
      const real = col >= 0 && col < larger;
      const [from, to] = way === "gather" ? [[center(col), 49], [below(place), 106]]
        : [[below(place), 107], [center(col), 50]];
      const style = `stroke-width:2${real ? "" : ";stroke-dasharray:2 3"}`;
      out += touch.line([from, to], touch.blue, style) + this.head(from, to);
    }
    out += touch.text(5, 150, `the smaller row, ${this.small} pixels`);
    const squares = [["transposed convolution", taps, 5], ["resize-convolution", resized, 205]];
    for (const [title, counts, x] of squares) {
      out += touch.text(x + 95, 178, title, "middle") + this.square(counts, x + 5, 186, 180);
    }
    out += touch.text(touch.width / 2, 384, "the darker, the more taps reach the pixel", "middle");
    return touch.svg(392, out);
  },

  head([x0, y0], [x1, y1]) {
    const length = Math.hypot(x1 - x0, y1 - y0);
    const [u, v] = [((x1 - x0) / length) * 8, ((y1 - y0) / length) * 8];
    const wings = [[x1 - u - v / 2, y1 - v + u / 2], [x1, y1], [x1 - u + v / 2, y1 - v - u / 2]];
    return touch.line(wings, touch.blue, "stroke-width:2");
  },

  // Dark for the pixel that the most taps reach.
  square(counts, x, y, side) {
    const [cell, most] = [side / counts.length, Math.max(...counts) ** 2];
    let out = touch.rect(x, y, side, side, "#fff", `stroke:${touch.faint}`);
    counts.forEach((vertical, row) =>
      counts.forEach((horizontal, col) => {
        const share = +((vertical * horizontal) / most).toFixed(3);
        const shade = `fill-opacity:${share};shape-rendering:crispEdges`;
        out += touch.rect(x + col * cell, y + row * cell, cell, cell, "#12385c", shade);
      }),
    );
    return out;
  },

  say({ taps, larger, window }, { way, kernel, stride, place }) {
    const edge = Math.ceil(kernel / stride) * stride; // what lies further in, no end disturbs
    const kinds = [...new Set(taps.slice(edge, larger - edge))].sort();
    const inner = window.filter((col) => col >= 0 && col < larger);
    const span = inner.length ? `${inner[0]} to ${inner[inner.length - 1]}` : "none";
    const does = way === "gather" ? "reads from" : "is added to";
    const evenness = !kinds.length ? "The row has no interior."
      : kinds.length === 1 ? `Away from the ends every pixel is reached by ${kinds[0]}: no pattern.`
      : `Away from the ends pixels are reached by ${kinds.join(" or ")}: a checkerboard.`;
    return `Pixel ${place} ${does} pixels ${span} of the larger row's ${larger}. ${evenness}`;
  },
};
