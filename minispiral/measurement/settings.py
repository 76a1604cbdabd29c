"""Every number of the method, with its unit and why it is what it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The numbers of the method; lengths in pixels of the photograph where not said otherwise."""

    # From the map to lines
    threshold: float = 0.5  # probability above which a pixel is surely crack
    low: float = 0.25  # probability down to which a line goes on (hysteresis)
    soften: float = 1.0  # sd of the blur of the map: that of a small network is speckled
    spur: float = 8.0  # shorter side branches are artefacts of thinning traces of 3 to 5 px
    unsure_spur: float = 24.0  # shorter ones that are not half sure are of the map's fringes
    mesh: float = 40.0  # shorter rings, and second ways between two junctions, are artefacts
    merge: float = 8.0  # junctions nearer to each other are one crossing
    turn: float = 50.0  # degrees, the largest bend at which a crack goes on through a junction
    gap: float = 32.0  # the longest gap that is bridged, between lines that are as long as it; ...
    gap_aim: float = 8.0  # ... of either line the end, led on straight, must pass so near the other
    gap_turn: float = 60.0  # degrees, the largest angle between either end and the bridge
    shortest: float = 24.0  # shorter cracks are not reported: most false alarms are

    # From lines to centre lines
    smooth: float = 2.5  # sd along the line: takes the steps off a chain of pixels
    search: float = 4.0  # how far the darkest path may lie: labels are off by 1, detections by 2

    # Profiles
    reach: float = 10.0  # half the length; two cracks nearer than this disturb each other
    step: float = 0.5  # between samples
    window: int = 12  # profiles, 1 px apart, of one width: fewer are noisy, more blur the crack
    hop: int = 6  # between windows
    junction: float = 12.0  # places nearer to a junction do not count

    # The photograph: contrast is the share of light that an open crack swallows
    contrast: float = 0.68  # its prior: a normal distribution about this ...
    contrast_sd: float = 0.14  # ... with this sd ...
    contrast_share: float = 0.50  # ... and with this weight a uniform one, for honest intervals ...
    contrast_least: float = 0.27  # ... from here to 1: lime-filled cracks have 0.35, deep ones 0.95
    contrast_local: float = 0.07  # sd from place to place in one photograph, at most ...
    contrast_steady: float = (
        0.015  # ... and at least, where cracks swallow the same light all along
    )
    blur: float = 0.75  # the prior of the camera's blur: the median of its sd ...
    blur_log_sd: float = 0.35  # ... and the sd of its logarithm
    votes: float = 6.0  # of all windows together: what the model leaves out is common to them
    strange: float = 0.1  # of the wide places are none of a crack: a pore, a joint, a stain
    wide_from: float = 2.1  # times the whole blur: profiles that wide at half depth begin to tell
    wide: float = 2.4  # ... the contrast, and here do in full; a crack far below the blur has ...
    wide_blur: float = 1.0  # ... 2.35 of it, less by a blur of this sd, px: pixels feign floors
    wide_votes: float = 16.0  # of the wide windows together

    # The width at a place
    widest: float = 10.0  # of the model
    halfway: float = 6.0  # wider at half depth: measured there, where blur changes nothing
    log_below: float = 0.1  # the prior of widths is uniform in their logarithm down to this
    blur_doubt: float = 0.15  # share by which the blur may differ here, or from a Gaussian
    misfit: float = 0.006  # sd of what the model leaves out, in light: aliasing ...
    misfit_step: float = 0.0018  # ... and for each grey level of a JPEG's coarsest low step
    misfit_share: float = 0.025  # the same as a share of the crack's depth: lenses, tone curves ...
    misfit_halo: float = 1.0  # ... and times the halo of sharpening, which is such a share
    bad_fit: float = 6.0  # squared misfit, in units of its expectation: no crack looks so
    model_error: float = 0.04  # sd that no width goes below ...
    model_share: float = 0.02  # ... and as a share of the width
