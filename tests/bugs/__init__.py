"""Bugs planted one by one in minispiral, each of which its checks must catch.

``python -m tests.bugs`` shows what catches each.
"""

from tests.bugs.bug import Bug
from tests.bugs.convolution import CONVOLUTION
from tests.bugs.losses import LOSSES
from tests.bugs.normalization import NORMALIZATION
from tests.bugs.tape import TAPE

BUGS: dict[str, Bug] = {bug.name: bug for bug in (*TAPE, *CONVOLUTION, *NORMALIZATION, *LOSSES)}
