"""Bugs planted one by one in minispiral, each of which its checks must catch."""

from bench.bugs.bug import Bug
from bench.bugs.convolution import CONVOLUTION
from bench.bugs.losses import LOSSES
from bench.bugs.normalization import NORMALIZATION
from bench.bugs.tape import TAPE

BUGS: dict[str, Bug] = {bug.name: bug for bug in (*TAPE, *CONVOLUTION, *NORMALIZATION, *LOSSES)}
