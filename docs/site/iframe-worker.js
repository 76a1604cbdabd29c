// Browsers refuse a worker to a page that is opened from a folder. There, the search runs its
// script in a hidden frame instead, with what it uses of a worker: messages in both directions.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const loading = this.inside.document.createElement("script");
      this.ready = new Promise((done) => loading.addEventListener("load", done));
      loading.src = new URL(script, location);
      this.inside.document.body.append(loading);
    }
    postMessage(data) {
      const message = new MessageEvent("message", { data });
      this.ready.then(() => this.inside.dispatchEvent(message));
    }
  };
}
