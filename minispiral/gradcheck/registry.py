"""Every public operation, layer, loss and network of the library, each with a way to check it.

A check's name begins with the public name of what it checks. A test holds this list complete: an
operation, layer, loss or network without a check fails the suite. Functions with a kink are checked
by central differences, which know of kinks, all others by complex steps; whole networks too, for
there some unit is always near its kink, and a complex step crosses none.
"""

from minispiral.gradcheck.networks import layers, networks
from minispiral.gradcheck.operations import losses, operations

CHECKS = (*operations(), *layers(), *losses(), *networks())
