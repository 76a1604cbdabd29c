"""Figures of the site: their code is folded, their caption is theirs, and they open alone."""

import re
from html import escape, unescape

_CAPTIONED = re.compile(
    r'<p><img alt="[^"]*" src="(?P<source>[^"]+)"[^>]*></p>\s*<p>(?P<caption><em>Figure .*?)</p>',
    re.DOTALL,
)
_UNCAPTIONED = re.compile(  # none to touch: these are drawings
    r'<p>(?P<picture><img alt="[^"]*" src="(?P<source>[^"]+\.(?:jpg|png))"[^>]*>)</p>'
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

    A picture leads to itself alone, which is larger, also where the text below it is no caption of
    a numbered figure. Such a caption is also what is read aloud.
    """

    def figure(found: re.Match[str]) -> str:
        source, caption = found["source"], found["caption"]
        picture = f'<img alt="{escape(spoken(caption))}" src="{source}">'
        link = f'<a class="picture" href="{source}">{picture}</a>'
        return f"<figure>{link}<figcaption>{caption}</figcaption></figure>"

    html = _CAPTIONED.sub(figure, html)
    alone = r'<p><a class="picture" href="\g<source>">\g<picture></a></p>'
    return _UNCAPTIONED.sub(alone, html)
