// The probability map, its pixels above the threshold in colour: the more probable, the denser.
const MAP_COLOUR = [230, 0, 170];

class Chances {
  constructor(url, changed) { Object.assign(this, { url, changed, level: 0, levels: null, canvas: null }); }

  // Read the 16 levels, once.
  async load() {
    if (this.canvas) return;
    const image = new Image();
    image.src = this.url;
    this.canvas = document.createElement("canvas");
    await image.decode();
    const width = image.naturalWidth, height = image.naturalHeight;
    Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    this.picture = context.getImageData(0, 0, width, height);
    const pixels = this.picture.data;
    this.levels = Uint8Array.from({ length: width * height }, (_, i) => Math.round(pixels[4 * i] / 17));
    this.paint();
  }

  setLevel(level) {
    this.level = level;
    if (this.levels) this.paint();
  }

  paint() {
    const [r, g, b] = MAP_COLOUR, words = new Uint32Array(this.picture.data.buffer);
    const colours = Uint32Array.from({ length: 16 }, (_, level) => (
      level && level >= this.level ? ((90 + 9 * level) << 24 | b << 16 | g << 8 | r) >>> 0 : 0));
    this.levels.forEach((level, i) => { words[i] = colours[level]; });
    this.canvas.getContext("2d").putImageData(this.picture, 0, 0);
    this.changed();
  }

  drawOn(context, reduction) {
    if (!this.levels) return;
    context.drawImage(this.canvas, 0, 0, this.canvas.width * reduction, this.canvas.height * reduction);
  }
}
