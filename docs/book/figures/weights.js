// Chapter 5: the weights of the two classes, and both gradients of a pixel for every logit.

touch.figures.weights = {
  inputs: [
    { name: "positives", label: "crack pixels, N₁", min: 1, max: 200, step: 1, value: 20 },
    {
      name: "onCrack",
      label: "sum of σ on crack, S",
      min: 0.1,
      max: ({ positives }) => positives, // a mean of σ is at most 1
      step: 0.1,
      value: 10,
    },
    { name: "elsewhere", label: "sum of σ elsewhere", min: 0, max: 500, step: 1, value: 50 },
  ],

  // Eq. 6, 7 and 13.
  compute({ positives, onCrack, elsewhere }) {
    const total = positives + onCrack + elsewhere;
    const crack = 1 / onCrack - 1 / total;
    return { f1: (2 * onCrack) / total, crack, other: 1 / total, ratio: crack * total };
  },

  // The sizes of Eq. 8 and Eq. 11 for one pixel.
  gradients({ crack, other }, logit, isCrack) {
    const sigma = 1 / (1 + Math.exp(-logit));
    const wrong = isCrack ? 1 / (1 + Math.exp(logit)) : sigma;
    const right = isCrack ? sigma : 1 / (1 + Math.exp(logit));
    const weight = isCrack ? crack : other;
    return { eq8: weight * wrong * right, eq11: weight * wrong };
  },

  draw(numbers) {
    const [top, high, wide, lowest, highest] = [44, 190, 160, -7, 1];
    const at = (value) => {
      const share = (Math.log10(value) - lowest) / (highest - lowest);
      return top + high * (1 - Math.max(share, 0));
    };
    let out =
      touch.line([[60, 10], [85, 10]], touch.blue, "stroke-width:2.5") +
      touch.text(90, 14, "Eq. 11") +
      touch.line([[160, 10], [185, 10]], touch.orange, "stroke-width:2.5;stroke-dasharray:6 4") +
      touch.text(190, 14, "Eq. 8");
    for (const [isCrack, left, title] of [[true, 45, "a crack pixel"], [false, 230, "another"]]) {
      out += touch.rect(left, top, wide, high, touch.ground);
      out += touch.text(left + wide / 2, 36, title, "middle");
      for (let power = lowest; power <= highest; power += 2) {
        const y = at(10 ** power);
        out += touch.line([[left, y], [left + wide, y]], touch.faint);
        if (isCrack) out += touch.text(left - 5, y + 4, `1e${power}`, "end");
      }
      for (const logit of [-10, 0, 10]) {
        const x = left + ((logit + 10) / 20) * wide;
        out += touch.text(x, top + high + 15, logit, "middle");
      }
      out += touch.text(left + wide / 2, top + high + 30, "logit", "middle");
      for (const [name, color, more] of [
        ["eq11", touch.blue, ""],
        ["eq8", touch.orange, "stroke-dasharray:6 4"],
      ]) {
        const points = [];
        for (let k = 0; k <= 40; k++) {
          const size = this.gradients(numbers, k / 2 - 10, isCrack)[name];
          points.push([left + (k / 40) * wide, at(size)]);
        }
        out += touch.line(points, color, `stroke-width:2.5;${more}`);
      }
    }
    return touch.svg(top + high + 38, out);
  },

  say: ({ f1, crack, other, ratio }) =>
    `Soft F1 is ${touch.number(f1)}. A crack pixel has the weight ${touch.number(crack)}, any ` +
    `other ${touch.number(other)}: a crack pixel counts ${touch.number(ratio)} times as much.`,
};
