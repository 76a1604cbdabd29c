"""Training that is stopped or killed, and resumed, ends with the bits of an undisturbed run.

``python -m tests.resume`` kills as many runs as wanted.
"""
