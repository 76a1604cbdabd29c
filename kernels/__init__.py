"""Arrays in, arrays out: the computations behind every operation, without tapes or tensors.

Each file states one group of functions for NumPy; ``reference.py`` gives the meaning of every
one in plain loops. The ``.cu`` files beside them hold the same in CUDA C, which `launch` compiles
and the functions in `cuda` call. The package knows nothing of the rest of the library.

Arrays are float32 to train and float64 to verify. All but ``adam`` take complex128 too, so that
a derivative can be had by a complex step, ``imag(f(x + 1e-40j)) / 1e-40``: they are analytic, and
where they branch (ReLU, max, the two forms of sigma) the real part decides, as NumPy's comparisons
of complex numbers have it.
"""

if __name__ != "minispiral.kernels":
    raise ImportError(
        f"the kernels of minispiral were imported as {__name__!r}, "
        "but they work only as 'minispiral.kernels': write `import minispiral.kernels`"
    )
