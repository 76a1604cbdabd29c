"""The page of cracks as a browser shows it, where Chromium is installed."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minispiral.measurement.records import Caveat, Rest
from minispiral.measurement.scale import Scale
from minispiral.report.cracks.photograph import Photograph
from minispiral.report.cracks.write import write_report
from tests.report.browser import browsing, chromium
from tests.report.measured import CARD, crack_along, measurement_of, random_measurement

SIZE = 1210, 3301  # height and width: too large to be embedded as it is
SURE = 0.9  # the probability along the first crack; along the second it is 0.55
CAVEAT = Caveat("sharpened", "Widths below 1 px may be 0.2 px too large.")

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed here")


def crack_at(rng, number, row, chance):
    """A level crack in a given row of the photograph, and its mean probability."""
    columns = np.arange(300, 1900 + 100 * number) + 0.5
    points = np.stack([columns, np.full(len(columns), row + 0.5)], axis=1)
    widths = np.full(len(points), 1.0 + 2 * number)
    return replace(crack_along(rng, number, points, widths), probability=chance)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of two photographs, and the rows of the two cracks in the first, large one."""
    rng = np.random.default_rng()
    rows = [int(rng.integers(200, 400)), int(rng.integers(800, 1000))]
    cracks = [crack_at(rng, 1, rows[0], SURE), crack_at(rng, 2, rows[1], 0.55)]
    scale = Scale(0.05, 0.02, "two points 100 mm apart")
    measured = measurement_of(rng, cracks, SIZE, scale, Rest.WIDE, (CAVEAT,))
    h, w = SIZE
    board = ((np.add.outer(np.arange(h), np.arange(w)) % 2) * 255).astype(np.uint8)
    chances = np.full(SIZE, 0.1)
    for row, crack in zip(rows, cracks, strict=True):
        chances[row - 4 : row + 4, 300:1900] = crack.probability
    small = random_measurement(rng)
    grey = rng.integers(0, 255, (small.height, small.width), dtype=np.uint8)
    photographs = [
        Photograph("wall & <b>.jpg", np.repeat(board[..., None], 3, 2), chances, measured),
        Photograph("small.jpg", np.repeat(grey[..., None], 3, 2), grey, small),
    ]
    page = tmp_path_factory.mktemp("page") / "report.html"
    assert write_report(page, photographs, CARD, threshold=0.5) == []
    return page, rows


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile"), chromium()) as browser:
        yield browser


@pytest.fixture
def browser(running, made):
    """The page, opened anew in a window of 1280 x 900 pixels."""
    running.resize(1280, 900)
    running.open(made[0])
    wait_for(running, "document.querySelector('.stage.drawn')")
    yield running
    assert running.errors == []
    assert [url for url in running.requests if not url.startswith("data:")] == [made[0].as_uri()]


def wait_for(browser, condition):
    """Wait until a condition holds and what it brought is drawn."""
    browser.look(
        f"""new Promise((done) => {{
        const look = () => ({condition}) ? done() : setTimeout(look, 10); look(); }})"""
    )
    browser.settle()


def view(browser):
    """Left, top, width and height of what is seen of the first photograph."""
    text = browser.look('document.querySelector(".overlay").getAttribute("viewBox")')
    return [float(value) for value in text.split()]


def on_screen(browser, x, y):
    """Where a point of the first photograph is on the screen."""
    browser.look('document.querySelector(".stage").scrollIntoView({block: "center"})')
    return browser.look(
        f"""(() => {{ const at = new DOMPoint({x}, {y}).matrixTransform(
        document.querySelector(".overlay").getScreenCTM()); return [at.x, at.y]; }})()"""
    )


def colours(browser, x, y, side=9):
    """The colours (side, side, 3) of the canvas around a point of the first photograph."""
    found = browser.look(
        f"""(() => {{ const canvas = document.querySelector(".stage canvas");
        const box = document.querySelector(".overlay").getAttribute("viewBox");
        const [left, top, width] = box.split(" ");
        const k = canvas.width / width, at = [({x} - left) * k, ({y} - top) * k];
        const copy = new OffscreenCanvas({side}, {side}).getContext("2d");
        copy.drawImage(canvas, ...at.map((value) => {side // 2} - Math.round(value)));
        return [...copy.getImageData(0, 0, {side}, {side}).data]; }})()"""
    )
    return np.array(found).reshape(side, side, 4)[..., :3]


def drawn(browser):
    """The numbers of the cracks that are drawn in the first photograph, and listed in its table."""
    return browser.look(
        """["g.crack", ".cracks tbody tr"].map((what) =>
        [...document.querySelector(".photograph").querySelectorAll(what)]
        .filter((each) => getComputedStyle(each).display !== "none")
        .map((each) => Number(each.dataset.crack)).sort())"""
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_juts_out(browser, width, dark):
    browser.resize(width, 844, dark=dark)
    assert browser.look("innerWidth") == width
    wide = browser.look("['scrollWidth', 'clientWidth'].map((e) => document.documentElement[e])")
    assert wide[0] == wide[1] > width - 20
    assert browser.look("document.querySelector('.stage').clientWidth") > width / 2
    ground = browser.look("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 22, 22)" if dark else "rgb(255, 255, 255)")


def test_numbers_are_the_readers(browser):  # who is German
    cells = browser.look("[...document.querySelectorAll('.cracks td')].map((td) => td.textContent)")
    assert any("0,25" in cell for cell in cells)
    assert not any("0.25" in cell for cell in cells)
    assert "3.301" in browser.look("document.querySelector('.facts').textContent")


def test_threshold_hides_cracks_and_changes_the_map(browser, made):
    _, rows = made
    assert drawn(browser) == [[0, 1], [0, 1]]
    bare = [colours(browser, 1000, row) for row in rows]
    browser.look("document.querySelector('.show-map').click()")
    wait_for(browser, "photographs[0].view.chances.levels")
    tinted = [colours(browser, 1000, row) for row in rows]
    for before, after in zip(bare, tinted, strict=True):
        assert (after[4, 4] - before[4, 4])[1] < -10  # less green
    assert np.array_equal(colours(browser, 1000, 600), colours(browser, 2700, 600))
    sums = (
        "[...document.querySelectorAll('.classes tfoot td')].slice(0, 2).map((e) => e.textContent)"
    )
    assert browser.look(sums) == ["2", "175"]
    browser.look("document.querySelector('.threshold').focus()")
    for _ in range(2):
        browser.press("ArrowRight", 39)
    assert browser.look("document.querySelector('.threshold-value').textContent") == "0,63"
    assert drawn(browser) == [[1], [1]]  # the wider of the two is the first row
    assert browser.look(sums) == ["1", "85"]
    assert browser.look("document.getElementById('live').textContent") == "1 of 2 lines drawn."
    assert np.array_equal(colours(browser, 1000, rows[1]), bare[1])
    assert np.array_equal(colours(browser, 1000, rows[0]), tinted[0])
    assert browser.look("document.querySelectorAll('.threshold')[1].value") == "10"
    browser.look("document.querySelector('.show-cracks').click()")
    assert drawn(browser) == [[], [1]]
    canvases = browser.look(
        "[...document.querySelectorAll('canvas'), photographs[0].view.chances.canvas]"
        ".map((canvas) => canvas.width * canvas.height)"
    )
    assert 0 < min(canvases) <= max(canvases) < 2**24


def test_row_leads_to_the_crack(browser, made):
    browser.look("document.querySelector('.cracks tbody button').focus()")
    browser.press("Enter", 13)
    left, top, width, height = view(browser)
    row = made[1][1]  # the second crack is the wider one
    assert left < 300
    assert 2100 < left + width < 3301
    assert top < row < top + height
    chosen = "[...document.querySelectorAll('[aria-current], .chosen')].map((e) => e.dataset.crack)"
    assert browser.look(chosen) == ["0", "0"]
    assert "Crack 2: 0,25" in browser.look("document.querySelector('.said').textContent")


def test_click_on_a_crack_leads_to_its_row(browser, made):
    browser.click(*on_screen(browser, 900, made[1][0] + 8))  # beside the line, on its margin
    marked = "document.querySelector('[aria-current]')?.querySelector('th').textContent"
    assert browser.look(marked) == "1"
    assert browser.look("document.querySelector('.chosen').dataset.crack") == "1"
    assert view(browser)[2] == SIZE[1]


def test_columns_sort(browser):
    table = "document.querySelectorAll('.cracks')[1]"
    values = f"[...{table}.tBodies[0].rows].map((row) => row.cells[COLUMN].dataset.value)"
    for order in (-1, 1):
        browser.look(f"{table}.querySelector('[data-key=length] button').click()")
        found = [order * float(each) for each in browser.look(values.replace("COLUMN", "5"))]
        assert found == sorted(found)
        said = browser.look(f"{table}.querySelector('[data-key=length]').ariaSort")
        assert said == ("descending" if order < 0 else "ascending")
    browser.look(f"{table}.querySelector('[data-key=p95] button').click()")
    assert browser.look(values.replace("COLUMN", "2"))[-1] == "nan"  # where nothing is known


def test_zoom_and_pan(browser, made):
    assert view(browser) == [0, pytest.approx(0, abs=1), SIZE[1], pytest.approx(SIZE[0], abs=2)]
    x, y = on_screen(browser, 1000, 500)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-500)
    browser.settle()
    assert view(browser)[2] == SIZE[1]  # the wheel scrolls the page until the picture was clicked
    x, y = on_screen(browser, 1000, 500)
    browser.click(x, y)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-500)
    browser.settle()
    assert view(browser)[2] == pytest.approx(SIZE[1] / np.e, rel=0.01)
    assert on_screen(browser, 1000, 500) == pytest.approx([x, y], abs=1)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x - 60, y - 10, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 60, y - 10, button="left", clickCount=1)
    browser.settle()
    assert on_screen(browser, 1000, 500) == pytest.approx([x - 60, y - 10], abs=1)
    left, _, width, _ = view(browser)
    browser.press("ArrowRight", 39)
    assert view(browser)[0] > left
    browser.press("+")
    assert view(browser)[2] == pytest.approx(width / 1.5)
    browser.press("0")
    assert view(browser)[2] == SIZE[1]
    browser("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    browser.touch("touchStart", (x - 20, y), (x + 20, y))
    browser.touch("touchMove", (x - 60, y), (x + 60, y))
    browser.touch("touchEnd")
    browser("Emulation.setTouchEmulationEnabled", enabled=False)
    browser.settle()
    assert view(browser)[2] == pytest.approx(SIZE[1] / 3, rel=0.05)


def test_full_resolution_is_there_along_cracks_only(browser, made):
    """The photograph is a chessboard of single pixels, of which a reduced one shows nothing."""
    seen = {}
    for name, x, y in (("near", 1000, made[1][0] + 10), ("far", 2900, 600)):
        browser.look(f"photographs[0].view.show({x} - 50, {y} - 20, 8)")
        browser.look("new Promise((done) => setTimeout(done, 150))")
        seen[name] = np.ptp(colours(browser, x, y, 40))
    assert seen["near"] > 150
    assert seen["far"] < 30


def test_prints_the_whole_photograph(browser):
    browser.look("photographs[0].view.show(1000, 300, 2)")
    browser.settle()
    before = view(browser)
    browser.look(
        "addEventListener('beforeprint', () => { window.printed = ["
        "document.querySelector('.overlay').getAttribute('viewBox'),"
        "document.querySelector('.bar').textContent.trim()]; })"
    )
    pdf = browser.pdf()
    browser.settle()
    assert pdf.startswith(b"%PDF")
    assert 2 <= pdf.count(b"/Type /Page\n") <= 5
    box, bar = browser.look("window.printed")
    assert [float(value) for value in box.split()] == pytest.approx([0, 0, SIZE[1], SIZE[0]])
    assert bar == "2 cm"  # a third of the photograph's 165 mm, rounded to 1, 2 or 5
    assert view(browser) == pytest.approx(before)


@pytest.mark.parametrize(("dark", "rules"), [(False, "{}"), (True, "{runOnly: 'color-contrast'}")])
def test_no_reader_is_shut_out(browser, dark, rules):
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed here")
    browser.resize(1280, 900, dark=dark)
    browser.look((Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8") + ";0")
    violations = json.loads(
        browser.look(f"axe.run({rules}).then(({{ violations }}) => JSON.stringify(violations))")
    )
    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
