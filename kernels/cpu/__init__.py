"""The kernels in NumPy, shared among the threads of the CPU."""
