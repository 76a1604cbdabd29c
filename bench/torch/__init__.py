"""PyTorch's side of the comparisons, written as its users would write it.

Nothing here imports minispiral, except that `detect` lays the same tiles.
"""
