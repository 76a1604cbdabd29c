"""Every number of the method, with its unit and why it is what it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Lengths are in pixels of the photograph where not said otherwise.

    **From the map to lines**

    ``threshold``: probability above which a pixel is surely crack. ``low``: a line goes on down to
    this probability (hysteresis). ``soften``: standard deviation by which the map is blurred first,
    since a small network's maps are speckled. ``spur``: shorter side branches with a free end are
    artefacts of thinning a trace of 3 to 5 px. ``mesh``: shorter rings, and second ways between two
    junctions, are artefacts. ``merge``: junctions nearer to each other are one crossing. ``turn``:
    degrees, the largest bend at which a crack goes straight on through a junction. ``gap``,
    ``gap_turn``: the longest gap that is bridged, and the largest angle, in degrees, between either
    end and the bridge. ``shortest``: shorter cracks are not reported: a false alarm's usual length.

    **From lines to centre lines**

    ``smooth``: standard deviation along the line by which the steps of a chain of pixels are
    smoothed. ``search``: how far from the trace the darkest path may lie: labels are off by 1 px,
    detections by 2.

    **Profiles**

    ``reach``: half the length of a profile across the crack; two cracks nearer than this disturb
    each other. ``step``: between the samples of a profile. ``window``: profiles, 1 px apart, whose
    trimmed mean gives one width: fewer are noisy, more run past the crack's own changes. ``hop``:
    between windows. ``junction``: places nearer to a junction are not counted.

    **Width model**

    ``widest``: of the model; ``halfway``: beyond this half-depth width a crack is measured by half
    depth, which the camera's blur does not change there. ``contrast``, ``contrast_sd``,
    ``contrast_share``, ``contrast_least``: the prior of the photograph's contrast (the share of
    light that an open crack swallows): a normal distribution about ``contrast``, and with the
    weight ``contrast_share`` a uniform one from ``contrast_least`` to 1, which keeps the interval
    honest for cracks filled with lime (0.35) and for clean deep ones (0.95).
    ``contrast_local``: standard deviation from place to place in one photograph.
    ``blur``, ``blur_log_sd``: the prior of the camera's blur: median of its standard deviation,
    and standard deviation of its logarithm. ``blur_doubt``: how far, as a share, the blur at a
    place may differ from the photograph's, or from a Gaussian. ``misfit``: least standard
    deviation of what the model leaves out, as a share of light: aliasing, interpolation,
    compression. ``log_below``: the prior of widths is uniform in their logarithm down to about
    this. ``wide``: profiles wider than this many times the whole blur tell the contrast. ``votes``:
    how many independent windows all windows of a photograph together count for at most, on blur
    and on contrast: what the model leaves out is common to them. ``bad_fit``: squared misfit, in
    units of its expectation, above which a profile is not that of a crack. ``model_error``,
    ``model_share``: standard deviation that no width goes below, in pixels and as a share.
    """

    threshold: float = 0.5
    low: float = 0.25
    soften: float = 1.0
    spur: float = 8.0
    mesh: float = 24.0
    merge: float = 8.0
    turn: float = 50.0
    gap: float = 16.0
    gap_turn: float = 30.0
    shortest: float = 24.0

    smooth: float = 2.5
    search: float = 4.0

    reach: float = 10.0
    step: float = 0.5
    window: int = 12
    hop: int = 6
    junction: float = 12.0

    widest: float = 8.0
    halfway: float = 4.5
    contrast: float = 0.68
    contrast_sd: float = 0.14
    contrast_share: float = 0.35
    contrast_least: float = 0.25
    contrast_local: float = 0.07
    blur: float = 0.75
    blur_log_sd: float = 0.35
    blur_doubt: float = 0.15
    misfit: float = 0.025
    log_below: float = 0.1
    wide: float = 3.0
    votes: float = 5.0
    bad_fit: float = 6.0
    model_error: float = 0.06
    model_share: float = 0.05
