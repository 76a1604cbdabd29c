"""Figures of the site: their code is folded, their caption is theirs, and they open alone."""

import re
from html import escape, unescape

_CAPTIONED = re.compile(
    r'<p><img alt="[^"]*" src="(?P<source>[^"]+)"[^>]*></p>\s*<p>(?P<caption><em>Figure .*?)</p>',
    re.DOTALL,
)


def folded(code: str) -> str:
    """The code that draws a figure, in Markdown, behind a line that opens it."""
    summary = "<summary>The code of this figure</summary>"
    return f'<details class="drawing" markdown>{summary}\n\n{code}\n</details>\n'


def spoken(html: str) -> str:
    """A caption as the text that stands for the picture, with formulas as they are typed."""
    text = unescape(re.sub(r"<[^>]+>", "", html))
    text = re.sub(r"\\([a-zA-Z]+)", r"\1 ", text)
    return " ".join(re.sub(r"\\[(),;]|[{}]", "", text).split())


def captioned(html: str) -> str:
    """The page with each picture and the caption below it as one figure.

    The picture leads to itself alone, which is larger; the caption is also what is read aloud.
    """

    def figure(found: re.Match[str]) -> str:
        source, caption = found["source"], found["caption"]
        picture = f'<img alt="{escape(spoken(caption))}" src="{source}">'
        link = f'<a class="picture" href="{source}">{picture}</a>'
        return f"<figure>{link}<figcaption>{caption}</figcaption></figure>"

    return _CAPTIONED.sub(figure, html)
