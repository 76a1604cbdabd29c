"""Arrays in, arrays out: the computations behind every operation, without tapes or tensors.

Each file states one group of functions for NumPy; ``reference.py`` gives the meaning of every
one in plain loops. The package knows nothing of the rest of the library.
"""

if __name__ != "minispiral.kernels":
    raise ImportError(
        f"the kernels of minispiral were imported as {__name__!r}, "
        "but they work only as 'minispiral.kernels': write `import minispiral.kernels`"
    )
