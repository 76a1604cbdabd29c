"""The kernels on a GPU: the same functions as in the NumPy files beside this folder.

Same names, arguments and results, on arrays of the device of `minispiral.kernels.cuda.launch`:
CuPy's, contiguous, float32 or float64. What differs is due to the GPU: nothing is read back from it, so
what the NumPy twins return as numbers are arrays here, `adam` takes the step count and the learning
rate from the GPU's memory, and the weights of F1 never leave the kernels.

No result depends on the GPU it was computed on, nor on which of its threads comes first: every sum
has an order that the shapes alone decide.
"""
