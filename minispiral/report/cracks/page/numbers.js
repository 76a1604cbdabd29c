// Numbers in the reader's locale.
function formatted(value, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(navigator.languages, options).format(value);
}

function localise(root) {
  for (const each of root.querySelectorAll("data[data-digits]")) {
    each.textContent = formatted(Number(each.value), Number(each.dataset.digits));
  }
}

// The largest 1, 2 or 5 times a power of ten that is at most `limit`.
function round125(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  return power * [5, 2, 1].find((step) => step * power <= limit * (1 + 1e-9));
}

// A length on the wall as people say it: 0.4 mm, 5 cm, 1.2 m; or in pixels.
function sayLength(length, unit) {
  if (unit === "px") return `${formatted(length, 0)} px`;
  const [size, name] = length < 10 ? [1, "mm"] : length < 1000 ? [10, "cm"] : [1000, "m"];
  const shown = length / size;
  return `${formatted(shown, Number.isInteger(shown) ? 0 : 2)} ${name}`;
}
