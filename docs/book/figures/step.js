// Chapter 4: how many digits a difference and a complex step leave, for each step h.

touch.figures.step = {
  // The value of each function at x, the imaginary part of its value at x + ih, and its derivative.
  // Each operation is rounded by `r`. Of |x| the real part decides the sign.
  functions: {
    "sin x": {
      value: (x, r) => r(Math.sin(x)),
      imaginary: (x, h, r) => r(r(Math.cos(x)) * r(Math.sinh(h))),
      slope: (x) => Math.cos(x),
    },
    "exp x": {
      value: (x, r) => r(Math.exp(x)),
      imaginary: (x, h, r) => r(r(Math.exp(x)) * r(Math.sin(h))),
      slope: (x) => Math.exp(x),
    },
    "x³": {
      value: (x, r) => r(r(x * x) * x),
      imaginary: (x, h, r) => r(r(r(r(x * x) - r(h * h)) * h) + r(r(2 * r(x * h)) * x)),
      slope: (x) => 3 * x * x,
    },
    "|x|": {
      value: (x) => Math.abs(x),
      imaginary: (x, h) => Math.sign(x) * h,
      slope: (x) => Math.sign(x),
    },
  },

  ways: [ // with the width of the line, since two may lie on each other
    ["forward", touch.blue, 2.5],
    ["central", touch.orange, 1.5],
    ["complex step", touch.ink, 4],
  ],

  lowest: -20, // the smallest step, as a power of ten

  inputs: [
    { name: "of", label: "function", options: ["sin x", "exp x", "x³", "|x|"], value: "exp x" },
    { name: "precision", label: "precision", options: ["float64", "float32"], value: "float64" },
    { name: "x", label: "point x", min: 0.1, max: 3, step: 0.1, value: 1.3 },
    { name: "power", label: "step h, log₁₀", min: -20, max: 0, step: 0.5, value: -5 },
  ],

  // The derivative, and by each way what it is for a step and how far off, relatively.
  estimates({ of, precision, x }, power) {
    const r = precision === "float32" ? Math.fround : (number) => number;
    const { value, imaginary, slope } = this.functions[of];
    const [at, h] = [r(x), r(10 ** power)];
    const [right, left] = [value(r(at + h), r), value(r(at - h), r)];
    const found = [
      r(r(right - value(at, r)) / h),
      r(r(right - left) / r(2 * h)),
      r(imaginary(at, h, r) / h),
    ];
    const truth = slope(at);
    return { h, truth, found, off: found.map((one) => Math.abs(one / truth - 1)) };
  },

  compute(values) {
    const powers = [];
    for (let power = this.lowest; power <= 0; power += 0.125) powers.push(power);
    const curves = powers.map((power) => this.estimates(values, power).off);
    const most = values.precision === "float32" ? 7 : 16;
    const chosen = this.estimates(values, values.power);
    const digits = chosen.off.map((off) =>
      Math.max(Math.min(off > 0 ? Math.floor(-Math.log10(off)) : most, most), 0),
    );
    return { powers, curves, most, digits, ...chosen };
  },

  draw({ powers, curves, most, truth, found, off, digits }, { power }) {
    const [left, top, wide, high, low, highest] = [44, 26, 336, 170, -17, 3];
    const across = (power) => left + wide * (1 - power / this.lowest);
    const down = (off) => {
      const exponent = off > 0 ? Math.log10(off) : low;
      const share = (exponent - low) / (highest - low);
      return top + high * (1 - Math.min(Math.max(share, 0), 1));
    };
    let out = touch.rect(left, top, wide, high, touch.ground);
    for (let exponent = -16; exponent <= 0; exponent += 4) {
      const y = down(10 ** exponent);
      out += touch.line([[left, y], [left + wide, y]], touch.faint);
      out += touch.text(left - 5, y + 4, `1e${exponent}`, "end");
    }
    for (let exponent = this.lowest; exponent <= 0; exponent += 5) {
      out += touch.text(across(exponent), top + high + 15, `1e${exponent}`, "middle");
    }
    out += touch.text(left + wide / 2, top + high + 30, "step h", "middle");
    out += touch.line([[across(power), top], [across(power), top + high]], touch.ink);
    for (const k of [2, 0, 1]) { // the widest first
      const [way, color, width] = this.ways[k];
      const points = powers.map((one, i) => [across(one), down(curves[i][k])]);
      out += touch.line(points, color, `stroke-width:${width}`);
      const half = 3 + width / 2;
      out += touch.rect(across(power) - half, down(off[k]) - half, 2 * half, 2 * half, color);
      const x = left + 110 * k;
      out += touch.line([[x, 12], [x + 20, 12]], color, `stroke-width:${width}`);
      out += touch.text(x + 25, 16, way);
    }
    const rows = found.map((one, k) => [this.ways[k][0], one, digits[k]]);
    [["f′(x)", truth, most], ...rows].forEach(([name, number, right], k) => {
      const y = top + high + 54 + 18 * k;
      out += touch.text(left, y, name);
      out += touch.text(left + 100, y, this.digits(number, right, most));
    });
    return touch.svg(top + high + 114, out);
  },

  // A number of as many digits as the precision has, of which the first `right` are bold.
  digits(number, right, most) {
    const written = number.toPrecision(most);
    let [end, count] = [0, 0];
    for (; end < written.length && count < right; end++) {
      if (/[1-9]/.test(written[end]) || (count > 0 && written[end] === "0")) count += 1;
    }
    const bold = `<tspan style="font-weight:bold">${written.slice(0, end)}</tspan>`;
    return `${bold}<tspan style="fill-opacity:0.6">${written.slice(end)}</tspan>`;
  },

  say: ({ digits }, { of, x, power, precision }) =>
    `Right digits of the derivative of ${of} at ${x} in ${precision}, with h = 10^${power}: ` +
    `forward difference ${digits[0]}, central difference ${digits[1]}, complex step ${digits[2]}.`,
};
