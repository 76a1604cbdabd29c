"""Several processes that train one network, or share out photographs, over MPI.

The numbers are those of one process: all draw the same batches and cut their own part, the sums of
batch norm and of the losses are taken over the whole batch (`minispiral.kernels.collective`), and
gradients are added up (`minispiral.distributed.sharing`).
"""

from minispiral.distributed.connect import world
from minispiral.distributed.world import World, agreed

__all__ = ["World", "agreed", "world"]
