"""How often the loops of each kernel turn, from the sizes of a launch.

`loops` finds the loops of a rule in the machine code; the other modules have the rules, by the
files in which the kernels are.
"""

from bench.gpu.model.recording import Launch
from bench.gpu.model.rules import few_channels, pixels, plain, tensor_cores
from bench.gpu.model.rules.loops import Rule, RuleError

RULES = tensor_cores.RULES | few_channels.RULES | plain.RULES | pixels.RULES


def rule(launch: Launch) -> Rule:
    """The rule for a launch. `RuleError` for a kernel that has none."""
    name = launch.kernel.expression.partition("<")[0]
    if name not in RULES:
        raise RuleError(f"{name} has no rule: add it to bench/gpu/model/rules")
    return RULES[name](launch)
