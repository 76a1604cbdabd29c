"""``python -m bench gpu``: the CUDA kernels checked and timed on a GPU, beside PyTorch.

Each part works in a process of its own, a worker: a kernel that reads beyond its arrays ends every
later call of its process, and must not end the run. A worker's module has a function ``worker``,
which makes of a `Clock` what answers requests, and the command's side of the same part: ``measure``
asks, ``tables`` shows.
"""
