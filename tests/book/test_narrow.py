"""No page of the built site is wider than a telephone, and no formula hides its end.

    mkdocs build --strict
    MINISPIRAL_SITE=site python -m pytest -n 0 tests/book/test_narrow.py

Without that variable there is no site to look at, and nothing is tested.
"""

import os
from pathlib import Path

import pytest

from tests.report.browser import browsing, chromium

SITE = os.environ.get("MINISPIRAL_SITE")
WIDTH = 390  # CSS pixels
WIDE = """(async () => {
  if (document.querySelector(".arithmatex")) await MathJax.startup.promise;
  const typeset = [...(window.MathJax?.startup?.document?.math ?? [])];
  const hidden = typeset.filter(({ typesetRoot: { parentNode: box } }) =>
    box.matches("div.arithmatex") && box.scrollWidth > box.clientWidth);
  return [document.documentElement.scrollWidth, hidden.map((formula) => formula.math)];
})()"""


@pytest.mark.skipif(SITE is None, reason="MINISPIRAL_SITE names no built site")
@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")
def test_every_page_fits_a_telephone(tmp_path: Path) -> None:
    site = Path(SITE or "")
    # The page for what is not there has absolute addresses: without a server it has no style. The
    # listings are all of one form, and some of results are megabytes long: one stands for them.
    listings = sorted((site / "source").rglob("*.py.html"))
    pages = [
        page
        for page in sorted(site.rglob("*.html"))
        if page != site / "404.html"
        and (site / "source" not in page.parents or page in listings[:1])
    ]
    assert listings, f"{site} is no built site"
    wide = []
    with browsing(tmp_path, chromium() or "") as browser:
        browser("Emulation.setScrollbarsHidden", hidden=True)
        browser.resize(WIDTH, 844)
        for page in pages:
            browser.open(page)
            width, hidden = browser.look(WIDE)
            if width > WIDTH or hidden:
                wide.append((str(page.relative_to(site)), width, hidden))
    assert wide == []
