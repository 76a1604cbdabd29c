"""A page that is opened from a folder runs the search's script, without a worker."""

from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from tests.report.browser import browsing, chromium
from tests.small import ROOT

PAGE = """<!doctype html><script src="iframe-worker.js"></script>
<body><form name="search"><input></form><script>
  const worker = new Worker("sum.js");
  const ask = (numbers) => new Promise((done) => {
    worker.addEventListener("message", (answer) => done(answer.data));
    worker.postMessage(numbers);
  });
</script>"""
SUM = """var calls = 0;
addEventListener("message", async ({ data }) => {
  calls += 1;
  postMessage({ calls, sum: data.reduce((a, b) => a + b) });
});"""


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")
def test_a_worker_answers_in_a_page_from_a_folder(tmp_path: Path) -> None:
    copy(ROOT / "docs" / "site" / "iframe-worker.js", tmp_path)
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "sum.js").write_text(SUM)
    numbers = np.random.default_rng().integers(-99, 99, 5).tolist()
    with browsing(tmp_path / "profile", chromium() or "") as browser:
        browser.open(tmp_path / "page.html")
        browser.look(f"void (asked = ask({numbers}))")
        assert browser.look("document.querySelector('iframe')") is None, "nobody searches yet"
        browser.look("document.querySelector('input').focus()")
        assert browser.look("asked") == {"calls": 1, "sum": sum(numbers)}
        assert browser.look("ask([1, 2])") == {"calls": 2, "sum": 3}
        assert browser.look("window.calls") is None, "the script runs in a place of its own"
        assert browser.errors == []
