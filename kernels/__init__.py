"""Arrays in, arrays out: the computations behind every operation, without tapes or tensors.

Each module here is a front: it gives formulas and shapes, checks arguments, and calls its twin in
`minispiral.kernels.cpu`, in NumPy, or in `minispiral.kernels.cuda`, in CUDA C, depending on where
the arrays are. ``reference.py`` gives the meaning of every kernel in plain loops. The package knows
nothing of the rest of the library.

Arrays are float32 to train and float64 to verify. On the CPU all but ``adam`` and ``clip`` take
complex128 too, so that complex steps, ``imag(f(x + 1e-40j)) / 1e-40``, give derivatives: the
functions are analytic, and where they branch (ReLU, max, sigmoid) the real part decides, as it does
in NumPy's comparisons of complex numbers.
"""

if __name__ != "minispiral.kernels":
    raise ImportError(
        f"the kernels of minispiral were imported as {__name__!r}, "
        "but they work only as 'minispiral.kernels': write `import minispiral.kernels`"
    )
