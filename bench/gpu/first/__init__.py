"""The first minutes on a GPU that has never run these kernels: what can be learnt in one call.

Stages run one after another, each in a process of its own with a time limit of its own; what
crashes, hangs or is killed costs its own stage. Each item is written to a log as soon as it is
known, a JSON object on a line.

log        the file of items
runner     stages as processes, within a limit for all
child      the process of a stage
stages     which stages there are
machine    what GPU and what software this is
kernels    each kernel compiled and launched once
tiny       a tiny network, launched and captured, against NumPy
parts      the parts of `bench gpu` as stages, and the full network kernel by kernel
tools      NVIDIA's tools, which watch the kernels run; target is the program they watch
summary    what has been learnt, in a line
command    ``python -m bench.gpu.first``
"""
