"""From masks to lines: thinning, junctions, spurs, gaps and ends."""

import numpy as np
import pytest
from scipy.ndimage import label

from minispiral.data.thinning import thin
from minispiral.measurement.lines import detected, lines
from minispiral.measurement.settings import Settings
from tests.measurement.photograph import HEIGHT, WIDTH, Line, circle, straight, trace


def guo_hall(mask):
    """The algorithm A1 of Guo and Hall (1989), pixel by pixel."""
    picture = np.pad(mask, 1).astype(int)
    changed = True
    while changed:
        changed = False
        for odd in (True, False):
            gone = []
            for y, x in np.argwhere(picture):
                p2, p3, p4 = picture[y - 1, x], picture[y - 1, x + 1], picture[y, x + 1]
                p5, p6, p7 = picture[y + 1, x + 1], picture[y + 1, x], picture[y + 1, x - 1]
                p8, p9 = picture[y, x - 1], picture[y - 1, x - 1]
                c = (1 - p2) * (p3 | p4) + (1 - p4) * (p5 | p6)
                c += (1 - p6) * (p7 | p8) + (1 - p8) * (p9 | p2)
                n = min(
                    (p9 | p2) + (p3 | p4) + (p5 | p6) + (p7 | p8),
                    (p2 | p3) + (p4 | p5) + (p6 | p7) + (p8 | p9),
                )
                m = (p6 | p7 | (1 - p9)) & p8 if odd else (p2 | p3 | (1 - p5)) & p4
                if c == 1 and 2 <= n <= 3 and m == 0:
                    gone.append((y, x))
            for place in gone:
                picture[place] = 0
            changed |= bool(gone)
    return picture[1:-1, 1:-1].astype(bool)


def test_thinning_is_that_of_guo_and_hall(rng):
    from scipy.ndimage import gaussian_filter

    mask = gaussian_filter(rng.standard_normal((37, 41)), 1.6) > 0.05
    found = thin(mask, west_first=True)
    assert (found == guo_hall(mask)).all()
    assert label(found, np.ones((3, 3)))[1] == label(mask, np.ones((3, 3)))[1]


def test_a_diagonal_line_of_two_pixels_stays_whole():
    mask = np.eye(40, dtype=bool) | np.eye(40, k=1, dtype=bool)
    assert thin(mask, west_first=True).sum() >= 38


def found_lines(mask):
    settings = Settings()
    return lines(detected(mask, settings), settings)


def test_a_straight_line_ends_where_its_trace_ends(rng):
    line = straight(1.0, rng.uniform(0, 180))
    (found,) = found_lines(trace([line]))
    tips = found.points[[0, -1]]
    far = np.hypot(*(tips[:, None] - line.points[None]).transpose(2, 0, 1)).min(axis=1)
    assert far.max() < 2


def test_lines_go_straight_on_through_a_crossing(rng):
    turn = rng.uniform(0, 180)
    strokes = found_lines(trace([straight(1, turn), straight(1, turn + rng.uniform(60, 90))]))
    assert len(strokes) == 2
    assert len({stroke.crack for stroke in strokes}) == 1
    assert all(95 < stroke.length < 130 for stroke in strokes)


def test_a_branch_belongs_to_its_crack(rng):
    turn = rng.uniform(0, 180)
    trunk, branch = straight(1, turn), straight(1, turn + rng.uniform(55, 125))
    half = Line(np.stack([branch.points.mean(axis=0), branch.points[1]]), branch.widths)
    strokes = found_lines(trace([trunk, half]))
    assert sorted(round(stroke.length / 50) for stroke in strokes) == [1, 2]
    assert len({stroke.crack for stroke in strokes}) == 1


def test_spurs_are_no_branches_and_specks_no_cracks(rng):
    line = straight(1, rng.uniform(0, 180))
    mask = trace([line])
    y, x = np.argwhere(mask)[mask.sum() // 2]
    mask[y - 3 : y + 4, x] = True
    mask[3:9, 4:6] = True
    assert len(found_lines(mask)) == 1


def along(turn, first, last, shift=0.0):
    """The part of a line through the middle, from ``first`` to ``last`` px along it."""
    way = np.array([np.cos(np.radians(turn)), np.sin(np.radians(turn))])
    middle = np.array([WIDTH, HEIGHT]) / 2 + shift * np.array([-way[1], way[0]])
    return Line(middle + np.outer([first, last], way), np.ones(2))


@pytest.mark.parametrize(("probability", "count"), [(0.4, 1), (0.9, 2)])
def test_side_branches_that_are_hardly_sure_are_fringes(rng, probability, count):
    turn = rng.uniform(0, 180)
    fringe = along(turn + rng.uniform(60, 120), 0, rng.uniform(14, 18))
    shown = np.maximum(0.9 * trace([straight(1, turn)]), probability * trace([fringe]))
    assert len(found_lines(shown)) == count


@pytest.mark.parametrize(
    ("gap", "sideways", "count"),
    [(10, 0, 1), (26, 0, 1), (40, 0, 2), (8, 4, 1), (24, 10, 2)],
)
def test_a_gap_is_bridged_where_it_is_short_and_both_lines_aim_at_it(rng, gap, sideways, count):
    turn = rng.uniform(0, 180)
    strokes = found_lines(
        trace([along(turn, -60, -gap / 2), along(turn, gap / 2, 60, shift=sideways)])
    )
    assert len(strokes) == count
    bridged = np.hypot(gap, sideways) if count == 1 else 0
    assert sum(stroke.bridged for stroke in strokes) == pytest.approx(bridged, abs=5)


def test_a_speck_far_from_the_end_of_a_line_is_not_its_end(rng):
    turn = rng.uniform(0, 180)
    (found,) = found_lines(trace([along(turn, -50, 0), along(turn, 16, 19)]))
    assert found.bridged == 0
    assert found.length < 60


def test_what_was_bridged_makes_no_crack(rng):
    turn = rng.uniform(0, 180)
    assert not found_lines(trace([along(turn, -14, -6), along(turn, 4, 12)]))


def test_a_ring_is_one_line():
    (found,) = found_lines(trace([circle(1, 30, 2 * np.pi)]))
    assert found.length == pytest.approx(2 * np.pi * 30, rel=0.15)  # steps of pixels are longer
    assert (found.points[0] == found.points[-1]).all()


def test_a_faint_line_counts_beside_a_sure_one_only(rng):
    line = straight(1, rng.uniform(0, 60))
    faint = 0.4 * trace([line]).astype(np.float32)
    assert not found_lines(faint)
    sure = faint.copy()
    sure[:, : WIDTH // 2] *= 2.4
    for probability in (sure, np.rint(255 * sure).astype(np.uint8)):
        (found,) = found_lines(probability)
        assert found.length > 90
