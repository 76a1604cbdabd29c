"""minispiral and PyTorch train the same networks on the same batches, number for number.

Both work in float64 and start from the same weights. ``python -m tests.twin`` compares losses,
gradients, weights and running statistics after every step. With ``--write`` it also keeps
fingerprints of PyTorch's numbers: minispiral is tested against those in ``golden/`` where PyTorch
is not installed.

The two differ only by rounding, which Adam amplifies: an element ``g`` of a gradient moves its
weight by about ``lr * g / (abs(g) + eps)``, so that an error in a ``g`` near zero grows by up to
``lr / eps``, a factor of 100,000.
"""
