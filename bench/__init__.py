"""Speed and the paper's tables, from a checkout: ``python -m bench --help``.

What all measurements need is in `common`, PyTorch's side of the comparisons in `torch`; `cpu`,
`gpu` and `paper` hold the measurements themselves. The library never imports any of it.
"""
