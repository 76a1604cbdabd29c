"""The site: the pages of docs/, the book with its chapters run, the sources and the reference.

A hook of MkDocs, see mkdocs.yml. With MINISPIRAL_BOOK_RUN=0 in the environment the chapters are
shown without being run, which checks all links in seconds.
"""

import functools
import importlib
import importlib.util
import inspect
import logging
import os
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import chapter as chapters  # noqa: E402
import figures  # noqa: E402
import links  # noqa: E402
import loss_table  # noqa: E402
import notebooks  # noqa: E402
import words  # noqa: E402

log = logging.getLogger("mkdocs.plugins.minispiral")
BOOK = ROOT / "docs" / "book"
PICTURES = {".png", ".jpg", ".gif", ".svg"}
_FORMULA = re.compile(  # a line may break between a formula and what belongs to it
    r'\(?<span class="arithmatex">[^<]*</span>[.,;:!?)]+'
)
_INLINE = re.compile(r"(?<!<pre>)(?<!</span>)<code>[^<]+")  # the others are blocks
_CELL = re.compile(r"<td[^>]*>[^<]*")
_NUMBER = re.compile(r"[\d.]+(?: ± [\d.]+|e-\d+)")
LANGUAGES = {".py": "python", ".cu": "cuda", ".cuh": "cuda", ".json": "json", ".toml": "toml"}
OWN_PAGES = {  # files of the root that are pages of the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
REFERENCE = {  # the modules whose docstrings make the reference
    "The engine": ["tensor", "ops", "fused", "losses", "nn", "optim", "gradcheck"],
    "Networks": [
        f"networks{name}"
        for name in ("", ".network", ".spiral", ".unet", ".hed", ".describe", ".pretrained")
    ],
    "Training": [
        f"training.{name}"
        for name in ("config", "loop", "step", "initial", "schedule", "average", "demo")
    ],
    "Runs": ["runs.folder", "runs.checkpoint", "runs.trained"],
    "Detection": [
        f"detection.{name}"
        for name in ("find", "detect", "evaluate", "metrics", "counts", "tiling", "maps")
    ],
    "Export": [f"export.{name}" for name in ("export", "translate", "table")],
    "Measurement": [
        f"measurement.{name}"
        for name in (
            *("pipeline", "records", "scale", "scales", "readings", "contrast", "settings"),
            *("bar", "width_model", "learning", "results", "columns", "tables", "geojson", "dxf"),
        )
    ],
    "Data": [
        f"data.{name}"
        for name in ("pairs", "photos", "patches", "synth", "georeference", "labels.convert")
    ],
    "Kernels": [
        f"kernels.{name}"
        for name in (
            *("arrays", "conv2d", "epilogues", "batchnorm", "losses", "loss_table"),
            *("pooling", "layout", "arithmetic", "adam", "clip", "statistics", "reference"),
        )
    ],
    "Around": ["device", "profiling", "exercises", "errors"],
}


# Where a file of the repository is in the site


def uri_of(path: Path) -> str:
    """Where a file or folder of the repository is in the site."""
    relative = path.relative_to(ROOT)
    if str(relative) in OWN_PAGES:
        return OWN_PAGES[str(relative)]
    if relative.parts[0] == "docs" and relative.parts[1] != "site" and path.is_file():
        inside = Path(*relative.parts[1:])
        made_page = BOOK in path.parents and path.suffix == ".py"
        return str(inside.with_suffix(".md") if made_page else inside)
    if path.is_dir():
        return f"source/{relative}/index.md"
    return f"source/{relative}" + ("" if path.suffix in {".md", *PICTURES} else ".md")


def relink(markdown: str, source: Path, uri: str) -> tuple[str, list[Path]]:
    """Links between files of the repository as links between pages, and the files linked to."""
    found: list[Path] = []

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match[1].partition("#")
        if not target or ":" in target:
            return match[0]
        path = (source.parent / target).resolve()
        if ROOT not in path.parents or not path.exists():
            log.warning(f"{source.relative_to(ROOT)} links to {target}, which does not exist")
            return match[0]
        found.append(path)
        place = posixpath.relpath(uri_of(path), posixpath.dirname(uri) or ".")
        return f"]({place}{'#' + anchor if anchor else ''})"

    parts = chapters.CODE.split(markdown)
    parts[::2] = [re.sub(r"\]\(([^)\s]+)\)", replace, part) for part in parts[::2]]
    return "".join(parts), found


# Pages made of files


def fence(text: str, language: str, options: str = "") -> str:
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", text))])
    return f"{ticks}{language} {options}\n{text}\n{ticks}\n"


def folder_page(folder: Path) -> str:
    lines = [f"# {folder.relative_to(ROOT)}", ""]
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")):
            continue
        lines.append(f"- [{path.name}{'/' if path.is_dir() else ''}]({path.name})")
    return "\n".join(lines)


def source_page(path: Path) -> str:
    language = LANGUAGES.get(path.suffix, "text")
    name = path.relative_to(ROOT)
    text = path.read_text(encoding="utf-8").rstrip("\n")
    return f"# {name}\n\n" + fence(text, language, 'linenums="1"')


def chapter_page(path: Path) -> tuple[str, list[Path], list[Path]]:
    """A chapter as Markdown, the pictures that it shows and the files that it links to."""
    if os.environ.get("MINISPIRAL_BOOK_RUN") == "0":
        cells, folder = chapters.parse(path.read_text(encoding="utf-8")), chapters.CACHE
    else:
        cells, folder = chapters.cells_of(path)
    uri = uri_of(path)
    parts: list[str] = []
    pictures: list[Path] = []
    linked: list[Path] = []
    seen: set[str] = set()  # terms that lead to the page of words already
    for cell in cells:
        if cell.kind == "markdown":
            text = chapters.shown(cell.text)
            if path.parent == BOOK:
                text = words.linked(text, seen)
            text, found = relink(text, path, uri)
            parts.append(link_names(text, uri))
            linked += found
            continue
        computing, drawing = chapters.split(cell.text)
        if computing:
            parts.append(fence(computing, "python"))
        if cell.printed:
            parts.append(fence(cell.printed.rstrip("\n"), "{ .text .printed }"))
        if drawing:
            parts.append(figures.folded(fence(drawing, "python")))
        for name in cell.pictures:
            pictures.append(folder / name)
            parts.append(f"![](figures/{name})")
    title, _, rest = "\n\n".join(parts).partition("\n")
    files = f"as a script: [{path.name}]({path.name})"
    if path.parent == BOOK:
        files += f", or as a notebook: [{path.stem}.ipynb]({path.stem}.ipynb)"
    return f"{title}\n\n*This page {files}*\n{rest}", pictures, linked


# Names of the library


@functools.cache
def place_of(name: str) -> tuple[Path, int] | None:
    """The file and line of a dotted name such as ``minispiral.tensor.Tensor.backward``."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        owner = value
        for part in parts[cut:]:
            if not hasattr(value, part):
                return None
            owner, value = value, inspect.unwrap(getattr(value, part))
        try:
            path = Path(inspect.getsourcefile(value) or "")
            line = 1 if inspect.ismodule(value) else inspect.getsourcelines(value)[1]
        except TypeError:  # a constant: the line that sets it
            path = Path(inspect.getsourcefile(owner) or "")
            start = inspect.getsourcelines(owner)[1] if inspect.isclass(owner) else 1
            lines = path.read_text(encoding="utf-8").split("\n")
            setting = re.compile(rf"\s*{parts[-1]}\s*[:=]")
            line = next(i for i, text in enumerate(lines, 1) if i >= start and setting.match(text))
        return path, line
    return None


def link_names(markdown: str, uri: str) -> str:
    """Under "Where it lives", names of the library and of files become links to the source."""
    heading = re.search(r"^## Where it lives\n(.*?)(?=^#+ |\Z)", markdown, re.M | re.S)
    if not heading:
        return markdown

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("minispiral.") and re.fullmatch(r"[\w.]+", name):
            place = place_of(name)
            if place is None:
                log.warning(f"{uri} names {name}, which does not exist")
                return match[0]
            path, line = place
        elif (ROOT / name).is_file():
            path, line = ROOT / name, 1
        else:
            return match[0]
        here = posixpath.relpath(uri_of(path), posixpath.dirname(uri)).removesuffix(".md")
        return f'<a href="{here}.html#__codelineno-0-{line}"><code>{name}</code></a>'

    linked = re.sub(r"`([^`\n]+)`", replace, heading[1])
    return markdown[: heading.start(1)] + linked + markdown[heading.end(1) :]


# What MkDocs calls


def on_startup(command: str, dirty: bool) -> None:
    copy_for_reference()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    listed = [uri_of(path) for path in sorted(BOOK.glob("[0-9]*.py"))]
    solved = [uri_of(path) for path in sorted((BOOK / "solutions").glob("[0-9]*.py"))]
    around = ["book/words.md", "book/errata.md", "book/lecturer.md"]
    pages = {"Book": ["book/README.md", *listed, *around], "Solutions": solved}
    pages["Reference"] = ["reference/index.md"] + [  # type: ignore[assignment]
        {group: [f"reference/{name}.md" for name in names]} for group, names in REFERENCE.items()
    ]
    config.nav = [
        {title: pages[title]} if inside == "generated" else {title: inside}
        for entry in config.nav or []
        for title, inside in entry.items()
    ]
    return config


def copy_for_reference() -> None:
    """A copy of the library in which the kernels lie where they are imported from."""
    copy = ROOT / ".cache" / "library" / "minispiral"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "minispiral", copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "kernels", copy / "kernels", ignore=shutil.ignore_patterns("*.cu*"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    def add(uri: str, content: str | None = None, path: Path | None = None) -> None:
        if uri not in files.src_uris:
            absolute = str(path) if path else None
            files.append(File.generated(config, uri, content=content, abs_src_path=absolute))

    todo = [*(ROOT / name for name in OWN_PAGES), *(ROOT / "docs").glob("**/*.md")]
    todo += BOOK.glob("**/[0-9]*.py")
    todo += [*sources(ROOT / "minispiral"), *sources(ROOT / "kernels")]
    done: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in done:
            continue
        done.add(path)
        uri = uri_of(path)
        if path.suffix in PICTURES:
            if not uri.startswith("source/"):
                continue  # MkDocs finds it by itself
            add(uri, path=path)
            continue
        linked: list[Path] = []
        if path.is_dir():
            text, linked = relink(folder_page(path), path / "index.md", uri)
        elif path.suffix == ".md":
            text, linked = relink(path.read_text(encoding="utf-8"), path, uri)
            text = text.replace(loss_table.MARK, loss_table.table())
            if path == words.PAGE:
                text = words.with_anchors(text)
        elif BOOK in path.parents and path.suffix == ".py":
            text, pictures, linked = chapter_page(path)
            for picture in pictures:
                add(posixpath.join(posixpath.dirname(uri), "figures", picture.name), path=picture)
            if path.parent == BOOK:
                notebook = notebooks.written(path, notebooks.repository())
                add(uri.removesuffix(".md") + ".ipynb", notebook)
        else:
            text = source_page(path)
        todo += linked
        if uri.startswith("source/"):
            text = f"---\nsearch:\n  exclude: true\nhide: [toc, navigation]\n---\n{text}"
        if path.suffix == ".md" and uri in files.src_uris:
            files.remove(files.src_uris[uri])
        add(uri, text)

    groups = []
    for group, names in REFERENCE.items():
        groups.append(f"**{group}**: " + ", ".join(f"[{n}]({n}.md)" for n in names))
        for name in names:
            add(f"reference/{name}.md", f"# minispiral.{name}\n\n::: minispiral.{name}\n")
    add("reference/index.md", "# Reference\n\n" + "\n\n".join(groups) + "\n")
    add("site/mathjax.js", path=mathjax())
    return files


def sources(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".cu", ".cuh"):
            yield path


def mathjax() -> Path:
    """MathJax in one file, from its package: the site works without a network."""
    spec = importlib.util.find_spec("mathjax")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("django-static-mathjax is not installed: pip install '.[docs]'")
    return Path(spec.submodule_search_locations[0]) / "static/mathjax/es5/tex-svg.js"


def together(part: str) -> str:
    return f'<span class="together">{part}</span>'


def broken_well(code: re.Match[str]) -> str:
    """Code within a line: long names break between their parts, ``--option`` is one word."""

    def word(found: re.Match[str]) -> str:
        if len(found[0]) >= 20 and re.search(r"\w[._/]\w", found[0]):
            return re.sub(r"(?<=\w)[._/](?=\w)", r"\g<0><wbr>", found[0])
        return together(found[0]) if "-" in found[0] and len(found[0]) < 25 else found[0]

    return "<code>" + re.sub(r"\S+", word, code[0].removeprefix("<code>"))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    html = html.replace("::</p>", ":</p>")  # reStructuredText's mark before a block of code
    html = _FORMULA.sub(lambda formula: together(formula[0]), html)
    html = _INLINE.sub(broken_well, html)
    html = _CELL.sub(lambda cell: _NUMBER.sub(lambda n: together(n[0]), cell[0]), html)
    return figures.captioned(html)


def on_post_build(config: MkDocsConfig) -> None:
    for problem in links.broken(Path(config.site_dir)):
        log.warning(problem)
