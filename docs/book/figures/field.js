// Chapter 6: which pixels of its input a pixel of a module's map can depend on, layer by layer.

touch.figures.field = {
  side: 255, // pixels of the patch along an axis

  inputs: [
    { name: "depth", label: "module, its depth", min: 1, max: 7, step: 1, value: 4 },
    { name: "pixel", label: "pixel of its map", min: 0, max: 254, step: 1, value: 100 },
  ],

  // The first and last value that matters in each image, from the input through the bottom to the
  // map, as [layer, first, last]: an image of layer k has (side + 1) / 2^k - 1 values along an axis.
  compute({ depth, pixel }) {
    const sideOf = (layer) => (this.side + 1) / 2 ** layer - 1;
    let [first, last] = [pixel, pixel];
    const images = [[0, first, last]];
    for (let layer = 1; layer <= depth; layer++) {
      first = Math.max(Math.ceil((first - 2) / 2), 0);
      last = Math.min(Math.floor(last / 2), sideOf(layer) - 1);
      images.unshift([layer, first, last]);
    }
    for (let layer = depth - 1; layer >= 0; layer--) {
      [first, last] = [2 * first, 2 * last + 2];
      images.unshift([layer, first, last]);
    }
    return { images, first, last };
  },

  draw({ images }, { depth }) {
    const [left, wide, high] = [88, 304, 276];
    const row = Math.min(36, high / images.length);
    const bar = 0.7 * row;
    const scale = wide / this.side;
    let out = "";
    images.forEach(([layer, first, last], k) => {
      const y = 6 + k * row;
      // Value i of layer k lies over pixel 2^k (i + 1) - 1 of the patch, the middle of its pixels.
      const from = 2 ** layer * (first + 0.5) - 0.5;
      const to = 2 ** layer * (last + 1.5) - 0.5;
      const edge = 2 ** (layer - 1) - 0.5;
      const whole = [left + scale * edge, y, scale * (this.side - 2 * edge), bar];
      out += touch.rect(...whole, touch.ground, `stroke:${touch.faint}`);
      const color = k <= depth ? touch.blue : touch.orange;
      out += touch.rect(left + scale * from, y, Math.max(scale * (to - from), 2), bar, color);
      const name = k === 0 ? "input" : k === images.length - 1 ? "map" : k === depth ? "bottom" : "";
      const values = (this.side + 1) / 2 ** layer - 1;
      const middle = y + bar / 2 + 4;
      out += touch.text(0, middle, name) + touch.text(left - 8, middle, values, "end");
    });
    return touch.svg(6 + high, out);
  },

  say: ({ first, last }, { depth, pixel }) =>
    `Pixel ${pixel} of module ${depth}'s map sees pixels ${first} to ${last} of the maps before ` +
    `it: ${last - first + 1} of 255 along each axis.`,
};
