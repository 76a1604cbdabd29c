"""Gradients checked against derivatives that need no back-propagation.

`gradcheck` checks any function of tensors, `check_library` every public operation, layer, loss and
network of minispiral, and `check_pseudo_f1` the one gradient that is no derivative.
"""

from minispiral.gradcheck.library import check_library
from minispiral.gradcheck.protocol import gradcheck
from minispiral.gradcheck.pseudo import check_pseudo_f1
from minispiral.gradcheck.report import Element, Problem, Report

__all__ = [
    "Element",
    "Problem",
    "Report",
    "check_library",
    "check_pseudo_f1",
    "gradcheck",
]
