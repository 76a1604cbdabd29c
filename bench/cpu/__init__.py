"""Is minispiral faster than PyTorch on this CPU, and where does its time go?

``python -m bench cpu`` answers in four parts: `layers`, `step`, `targets` and `scaling`. What is
timed runs in processes of its own, `ours` and `theirs` and the like, which `race` lets take turns.
"""
