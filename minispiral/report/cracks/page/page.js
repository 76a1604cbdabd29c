// The page: one threshold for all photographs, which are drawn when they come into sight.
localise(document);
const { levels, start } = JSON.parse(document.getElementById("levels").textContent);
const photographs = [...document.querySelectorAll(".photograph")].map((section) => new Photograph(section));

// `slider` is the one that was moved: what it changes in the photograph above it is said aloud.
function setThreshold(level, slider) {
  for (const photograph of photographs) {
    photograph.setThreshold(level, level ? levels[level - 1] : 0, photograph.section.contains(slider));
  }
}

setThreshold(start, null);
document.addEventListener("input", (event) => {
  if (event.target.matches(".threshold")) setThreshold(Number(event.target.value), event.target);
});

const views = new Map(photographs.filter(({ view }) => view).map(({ stage, view }) => [stage, view]));
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      watch.unobserve(target);
      views.get(target).wake();
    }
  }
}, { rootMargin: "300px" });
for (const stage of views.keys()) watch.observe(stage);

addEventListener("beforeprint", () => { for (const view of views.values()) view.drawForPaper(); });
addEventListener("afterprint", () => { for (const view of views.values()) view.draw(); });
