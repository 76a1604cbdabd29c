// Mouse, touch, wheel and keyboard on a stage; `pick` gets what was clicked, and C calls `toggle`.
const CLICK = 5; // CSS pixels that a pointer may move within a click

function listen(stage, view, pick, toggle) {
  const pointers = new Map();
  let travelled = 0;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    return { x: (ax + bx) / 2, y: (ay + by) / 2, distance: Math.hypot(ax - bx, ay - by) };
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, at(event));
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    const [px, py] = pointers.get(event.pointerId) ?? [];
    if (px === undefined) return;
    const [x, y] = at(event);
    const before = pointers.size === 2 && spread();
    pointers.set(event.pointerId, [x, y]);
    travelled += Math.hypot(x - px, y - py);
    if (before) {
      const after = spread();
      view.pan(before.x - after.x, before.y - after.y);
      if (before.distance) view.zoom(after.distance / before.distance, after.x, after.y);
    } else if (travelled > CLICK) {
      stage.classList.add("moving");
      view.pan(px - x, py - y);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      const known = pointers.delete(event.pointerId);
      stage.classList.remove("moving");
      if (known && name === "pointerup" && travelled <= CLICK && !pointers.size) {
        pick(document.elementFromPoint(event.clientX, event.clientY));
      }
    });
  }
  // The page scrolls under the wheel until the picture was clicked; a pinch on a touchpad has Ctrl.
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return;
    event.preventDefault();
    const lines = event.deltaMode ? 16 : 1;
    view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...at(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => view.zoom(2, ...at(event)));

  const keys = {
    ArrowLeft: () => view.pan(-80, 0), ArrowRight: () => view.pan(80, 0),
    ArrowUp: () => view.pan(0, -80), ArrowDown: () => view.pan(0, 80),
    "+": () => view.zoom(1.5), "=": () => view.zoom(1.5), "-": () => view.zoom(1 / 1.5), 0: () => view.whole(),
    c: toggle, C: toggle,
  };
  stage.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
}
