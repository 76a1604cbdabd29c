"""What goes wrong in the field, many times over: ``python -m tests.campaign``.

Each part is a module with a function ``run(scale, report)`` that returns its figures, with the list
of its ``"failures"``; ``report`` is called with a line about every step. ``scale`` is 1 for the
full size.
"""
