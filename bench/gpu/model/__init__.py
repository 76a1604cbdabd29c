"""A training step's time, counted from machine code: ``python -m bench gpu model``.

`compiler` makes machine code and its text, `sass` finds the loops in it, `cost` says what
instructions take. `recording` records the launches of a step, `rules` say how often loops turn in
each, `traffic` what has to be moved. `estimate` puts them together under `assumptions`.
"""
