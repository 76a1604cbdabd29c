// Which part of the photograph is seen, and the drawing of it. x, y are pixels of the photograph at
// the top left of the stage; `scale` is CSS pixels of the screen per pixel of the photograph. The
// canvas is as large as the stage, whatever the photograph; cracks are SVG above it and stay sharp.
const CLOSEST = 8; // CSS pixels per pixel of the photograph
const MOST_PIXELS = 4096; // of a side of the canvas: the square is what Safari draws at most
const PAPER = 700; // CSS pixels across a sheet of paper

class View {
  constructor(stage, figures, images) {
    Object.assign(this, { stage, x: 0, y: 0, scale: 1, fitted: true, ready: false, showMap: false });
    const { width, height, perPixel, unit } = figures;
    Object.assign(this, { width, height, perPixel, unit, reduction: images.reduction });
    this.canvas = stage.querySelector("canvas");
    this.base = stage.querySelector("img");
    this.overlay = stage.querySelector(".overlay");
    this.labels = [...this.overlay.querySelectorAll("text")].map((text) => (
      { text, x: Number(text.getAttribute("x")), y: Number(text.getAttribute("y")) }));
    this.bar = stage.querySelector(".bar");
    this.tiles = images.tiles.map(([x, y, url]) => ({ x, y, url, image: null }));
    this.chances = new Chances(images.chances, () => this.draw());
    new ResizeObserver(() => (this.fitted ? this.whole() : this.show(this.x, this.y, this.scale))).observe(stage);
  }

  get size() { return [this.stage.clientWidth, this.stage.clientHeight]; }
  get least() { return Math.min(this.size[0] / this.width, this.size[1] / this.height); }

  whole() { this.show(0, 0, 0); }

  // Show what lies right of x and below y, as far as the photograph goes.
  show(x, y, scale) {
    const least = this.least;
    if (!least) return; // not laid out
    this.scale = Math.min(Math.max(scale, least), Math.max(CLOSEST, least));
    this.fitted = this.scale <= least * 1.001;
    const [w, h] = this.size.map((side) => side / this.scale);
    const inside = (at, part, all) => (part >= all ? (all - part) / 2 : Math.min(Math.max(at, 0), all - part));
    this.x = inside(x, w, this.width);
    this.y = inside(y, h, this.height);
    this.stage.classList.toggle("zoomed", !this.fitted);
    this.draw();
  }

  // Zoom by a factor; the point px, py of the stage stays where it is.
  zoom(factor, px = this.size[0] / 2, py = this.size[1] / 2) {
    const x = this.x + px / this.scale, y = this.y + py / this.scale;
    const scale = Math.min(Math.max(this.scale * factor, this.least), Math.max(CLOSEST, this.least));
    this.show(x - px / scale, y - py / scale, scale);
  }

  // Move by CSS pixels of the screen.
  pan(dx, dy) { this.show(this.x + dx / this.scale, this.y + dy / this.scale, this.scale); }

  // Show a box of the photograph with some of what is around it, never closer than 3:1.
  showBox([left, top, right, bottom]) {
    const [w, h] = this.size;
    const scale = Math.max(Math.min(0.6 * w / (right - left + 1), 0.6 * h / (bottom - top + 1), 3), this.least);
    this.show((left + right - w / scale) / 2, (top + bottom - h / scale) / 2, scale);
  }

  // Only what is seen is decoded: a page may hold many photographs.
  async wake() {
    await this.base.decode();
    this.ready = true;
    this.draw();
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      const [w, h] = this.size;
      this.drawLines(this.x, this.y, w, h, this.scale);
      if (this.ready) this.drawPixels(w, h);
    });
  }

  // The lines, numbers and scale bar of a stage of w x h CSS pixels.
  drawLines(x, y, w, h, scale) {
    this.overlay.setAttribute("viewBox", `${x} ${y} ${w / scale} ${h / scale}`);
    this.overlay.style.setProperty("--u", 1 / scale);
    this.overlay.classList.toggle("close", scale >= 1);
    const taken = [];
    for (const { text, x: tx, y: ty } of this.labels) { // the widest first
      const left = (tx - x) * scale, bottom = (ty - y) * scale;
      const box = [left, bottom - 20, left + 10 + 8 * text.textContent.length, bottom];
      const free = box[0] >= 0 && box[1] >= 0 && box[2] <= w && box[3] <= h && !text.classList.contains("low")
        && taken.every((other) => box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
      text.toggleAttribute("hidden", !free);
      if (free) taken.push(box);
    }
    const length = round125(0.3 * w / scale * this.perPixel);
    this.bar.style.width = `${100 * length / this.perPixel * scale / w}%`;
    this.bar.firstElementChild.textContent = sayLength(length, this.unit);
  }

  drawForPaper() { this.drawLines(0, 0, PAPER, PAPER * this.height / this.width, PAPER / this.width); }

  drawPixels(w, h) {
    const { canvas, base, reduction } = this;
    const ratio = Math.min(devicePixelRatio, MOST_PIXELS / Math.max(w, h));
    const [across, down] = [Math.round(w * ratio), Math.round(h * ratio)];
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    const context = canvas.getContext("2d"), k = this.scale * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    context.setTransform(k, 0, 0, k, -this.x * k, -this.y * k);
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = k * reduction < 4; // closer, pixels are shown as they are
    context.drawImage(base, 0, 0, base.naturalWidth * reduction, base.naturalHeight * reduction);
    context.imageSmoothingEnabled = k < 4;
    if (k * reduction > 1.2) this.drawTiles(context, w / this.scale, h / this.scale);
    if (this.showMap) this.chances.drawOn(context, reduction);
    this.stage.classList.add("drawn");
  }

  drawTiles(context, w, h) {
    for (const tile of this.tiles) {
      const seen = tile.x < this.x + w && tile.y < this.y + h && tile.x + 512 > this.x && tile.y + 512 > this.y;
      if (!seen) {
        tile.image = null;
      } else if (!tile.image) {
        tile.image = new Image();
        tile.image.src = tile.url;
        tile.image.decode().then(() => this.draw(), () => {}); // refused where it is no longer wanted
      } else if (tile.image.complete) {
        context.drawImage(tile.image, tile.x, tile.y);
      }
    }
  }
}
