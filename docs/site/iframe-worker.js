// Browsers refuse a worker to a page that is opened from a folder. There, the search runs its
// script in a hidden frame instead, with what it uses of a worker: messages in both directions.
// The frame shares the page's thread, so it waits until somebody enters the search.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      this.inside = new Promise((done) => {
        const start = () => this.frame(script, done);
        document.forms.search.addEventListener("focusin", start, { once: true });
      });
    }
    frame(script, done) {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const loading = inside.document.createElement("script");
      loading.addEventListener("load", () => done(inside));
      loading.src = new URL(script, location);
      inside.document.body.append(loading);
    }
    async postMessage(data) {
      (await this.inside).dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
