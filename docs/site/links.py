"""Find links in a built site that lead nowhere."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            if name in ("href", "src") and value and tag != "link":
                self.targets.add(value)


def broken(site: Path) -> Iterator[str]:
    """A sentence for each link, picture or script that is not there, or whose anchor is not."""
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for target in sorted(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not place.is_file():
                yield f"{path.relative_to(site)} leads to {target}, which is not there"
            elif anchor and place in pages and anchor not in pages[place].anchors:
                yield f"{path.relative_to(site)} leads to {target}, where no such place is"
