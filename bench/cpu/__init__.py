"""Is minispiral faster than PyTorch on this CPU, and where does its time go?

``python -m bench cpu`` answers in four parts: `layers`, `step`, `targets` and `scaling`. What is
timed runs in workers, which `race` lets take turns. ``python -m bench costs`` times single NumPy
calls.
"""
