"""The exponential moving average of a network in training (Polyak and Juditsky 1992).

After step t = 1, 2, ... every number of the average moves towards that of the network::

    d = min(decay, (1 + t) / (10 + t))          average = d * average + (1 - d) * value

The small d of the first steps takes the place of a bias correction: of the weights that the run
began with less than a ten-thousandth is left after ten steps.

The running statistics of batch norm are averaged alike. They follow the weights of the last ten
steps or so, and to first order their average is what they would be for the average weights; what is
left over is of second order in how far the weights move within 1 / (1 - decay) steps.
"""

from minispiral.kernels import arithmetic
from minispiral.networks import Network


class Average:
    """Keeps the average of ``network`` in ``averaged``, a network of the same architecture.

    Neither may be moved afterwards.
    """

    def __init__(self, network: Network, averaged: Network, decay: float) -> None:
        averaged.load_state(network.state())
        self.network, self.decay = averaged.eval(), decay
        means = averaged.state()
        self._pairs = [(means[name], value) for name, value in network.state().items()]
        self._parameters = averaged.parameters()

    def update(self, step: int) -> None:
        """Take in the network after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in self._pairs:
            keep = float(mean.dtype.type(decay))  # so that both weights add up to one
            arithmetic.blend(mean, value, keep, 1 - keep)
        for p in self._parameters:
            p.changed()
