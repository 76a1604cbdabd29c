"""``python -m bench gpu``: the CUDA kernels checked and timed on a GPU, compared with PyTorch.

Each part works in a process of its own, a worker: a kernel that reads beyond its arrays makes every
later call of its process fail, and must not end the run. The module of a part has a function
``worker``, which makes of a clock a function that answers requests, and the command's side of the
same part: ``measure`` asks, ``tables`` shows.
"""
