"""The stages, in the order of what is learnt in a second.

Their times add up to more than a call has: what the early ones do not need is left to the others.
"""

from bench.gpu.first.runner import Stage

_HERE = "bench.gpu.first"

FIRST = (
    Stage("facts", f"{_HERE}.machine:facts", 40),
    Stage("kernels", f"{_HERE}.kernels:stage", 120),
    Stage("tiny", f"{_HERE}.tiny:stage", 60),
    Stage("checks", f"{_HERE}.parts:run_checks", 100),
    Stage("ceilings", f"{_HERE}.parts:run_ceilings", 45),
    Stage("network", f"{_HERE}.parts:run_network", 80),
    Stage("torch", f"{_HERE}.parts:run_torch", 80),
    Stage("gradients", f"{_HERE}.parts:run_gradients", 60),
    Stage("sanitizer", f"{_HERE}.tools:sanitizer", 90),
    Stage("determinism", f"{_HERE}.parts:run_determinism", 60),
    Stage("ncu", f"{_HERE}.tools:ncu", 60),
    Stage("nccl", f"{_HERE}.parts:run_nccl", 40),
)
SECOND = (
    Stage("detection", f"{_HERE}.parts:run_detection", 120),
    Stage("inference", f"{_HERE}.parts:run_inference", 90),
    Stage("compile", f"{_HERE}.parts:run_compile", 420),
)
