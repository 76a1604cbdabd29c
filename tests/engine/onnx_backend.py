"""ONNX's test suites on the operations of minispiral: ``python -m tests.engine.onnx_backend``.

The package `onnx` ships them with their expected outputs. A case is ours if its graph holds an
operator of ours (see `onnx_operators`) and none that we lack. It passes, or it is listed in
`OUT_OF_SCOPE` with what stands against it.
"""

import json
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from rich import box
from rich.console import Console
from rich.table import Table

from minispiral.tensor import Tensor
from tests.engine.onnx_operators import OPERATORS, PLUMBING
from tests.engine.onnx_values import NOT_FLOATS, NotFloats, OutOfScope, value_of

Array = NDArray[Any]

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator")
FUNCTIONS = OPERATORS | PLUMBING
OURS = {*OPERATORS, "Gradient"}
ALL_NUMBERS = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "MatMul",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Sum",
    "Mean",
}

LISTED_FOR = "1.23"  # the version of onnx whose suites are listed completely
_REASONS = {
    "dilated windows of a maximum": """
        test_MaxPool1d_stride_padding_dilation test_MaxPool2d_stride_padding_dilation
        test_maxpool_2d_dilations
    """,
    NOT_FLOATS: """
        test_add_int8 test_add_int16 test_add_uint8 test_add_uint16 test_add_uint32 test_add_uint64
        test_causal_conv_with_state_basic_expanded test_causal_conv_with_state_with_bias_expanded
        test_causal_conv_with_state_with_past_state_expanded
        test_causal_conv_with_state_silu_expanded test_causal_conv_with_state_swish_alias_expanded
        test_causal_conv_with_state_decode_step_expanded
        test_causal_conv_with_state_kernel_size_one_expanded
        test_causal_conv_with_state_with_bias_and_past_state_expanded
        test_causal_conv_with_state_silu_with_past_state_expanded
        test_causal_conv_with_state_b1_c1_degenerate_expanded
        test_causal_conv_with_state_short_input_no_past_state_expanded
        test_causal_conv_with_state_fp16_expanded test_causal_conv_with_state_silu_fp16_expanded
        test_depthtospace_example_expanded test_depthtospace_crd_mode_example_expanded test_div_int8
        test_div_int16 test_div_int32_trunc test_div_uint8 test_div_uint16 test_div_uint32
        test_div_uint64 test_maxpool_2d_uint8 test_mul_int8 test_mul_int16 test_mul_uint8
        test_mul_uint16 test_mul_uint32 test_mul_uint64
        test_rotary_embedding_no_position_ids_expanded
        test_rotary_embedding_no_position_ids_interleaved_expanded
        test_rotary_embedding_no_position_ids_rotary_dim_expanded test_spacetodepth_expanded
        test_spacetodepth_example_expanded test_spacetodepth_dcr_mode_example_expanded
        test_spacetodepth_crd_mode_example_expanded test_sub_int8 test_sub_int16 test_sub_uint8
        test_sub_uint16 test_sub_uint32 test_sub_uint64 test_operator_non_float_params
    """,
    "images of three dimensions": """
        test_Conv3d test_Conv3d_dilated test_Conv3d_dilated_strided test_Conv3d_groups
        test_Conv3d_no_bias test_Conv3d_stride test_Conv3d_stride_padding
        test_MaxPool3d test_MaxPool3d_stride test_MaxPool3d_stride_padding
        test_convtranspose_3d test_maxpool_3d_default test_maxpool_3d_dilations
        test_maxpool_3d_dilations_use_ref_impl test_maxpool_3d_dilations_use_ref_impl_large
    """,
    "products of vectors or of stacks of matrices": """
        test_matmul_1d_1d test_matmul_1d_3d test_matmul_3d test_matmul_4d test_matmul_4d_1d
        test_matmul_bcast
    """,
    "strides that differ between height and width": """
        test_ConvTranspose2d test_ConvTranspose2d_no_bias test_convtranspose_kernel_shape
        test_convtranspose_output_shape test_convtranspose_pad test_convtranspose_pads
    """,
}
OUT_OF_SCOPE = {name: reason for reason, names in _REASONS.items() for name in names.split()}


@dataclass(frozen=True)
class Case:
    """A graph with its inputs and expected outputs, and how near to these it must come."""

    suite: str
    name: str
    model: onnx.ModelProto
    data: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float

    @property
    def operators(self) -> set[str]:
        return {node.op_type for node in self.model.graph.node}

    @property
    def is_ours(self) -> bool:
        return bool(self.operators & OURS) and self.operators <= OURS | PLUMBING.keys()

    def check(self) -> None:
        """AssertionError where an output is wrong, `OutOfScope` where there is none."""
        for inputs, expected in self.data:
            outputs = run(self.model, [array(x) for x in inputs])
            wanted = [array(y) for y in expected]
            Runner.assert_similar_outputs(wanted, outputs, self.rtol, self.atol)


def run(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of a graph."""
    graph = model.graph
    values = {x.name: value_of(array(x)) for x in graph.initializer}
    names = [x.name for x in graph.input if x.name not in values]
    needs_grad = any(node.op_type == "Gradient" for node in graph.node)
    values |= {name: value_of(x, needs_grad) for name, x in zip(names, inputs, strict=True)}
    for node in graph.node:
        xs = [values[name] if name else None for name in node.input]
        attributes = {a.name: attribute(a) for a in node.attribute}
        if node.op_type in OPERATORS and any(
            isinstance(x, NotFloats) for x in numbers_of(node, xs)
        ):
            raise OutOfScope(NOT_FLOATS)
        if node.op_type == "Gradient":
            outputs = gradient(values, **attributes)
        else:
            with np.errstate(divide="ignore"):  # a case takes the logarithm of 0
                outputs = FUNCTIONS[node.op_type](*xs, **attributes)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        values |= zip(node.output, outputs, strict=False)  # the last ones may be left out
    return [values[y.name].data for y in graph.output]


def numbers_of(node: onnx.NodeProto, xs: Sequence[Any]) -> Sequence[Any]:
    """The inputs that are calculated with, not the axes, sizes and counts among them."""
    if node.op_type == "Adam":
        return [xs[0], *xs[2:]]
    return xs if node.op_type in ALL_NUMBERS else xs[:1]


def gradient(values: dict[str, Tensor], xs: Sequence[str], y: str) -> tuple[Tensor, ...]:
    """Back-propagation over what has been computed so far."""
    values[y].backward(np.ones_like(values[y].data))
    return tuple(Tensor(values[x].grad) for x in xs)


def attribute(proto: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, list):
        return [x.decode() if isinstance(x, bytes) else x for x in value]
    return value.decode() if isinstance(value, bytes) else array(value)


def array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


@cache
def cases() -> tuple[Case, ...]:
    """All cases of the suites, with the same random numbers in them each time."""
    state = np.random.get_state()
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflows, some on purpose
        found = [(suite, case) for suite in SUITES for case in load_model_tests(kind=suite)]
    np.random.set_state(state)
    return tuple(
        Case(
            suite, case.name, *(stored(case) or (case.model, case.data_sets)), case.rtol, case.atol
        )
        for suite, case in found
    )


def stored(case: Any) -> tuple[onnx.ModelProto, list[Any]] | None:
    """Graph and data of a case that comes as files."""
    if case.model_dir is None:
        return None
    folder = Path(case.model_dir)
    data = [
        tuple(
            [onnx.load_tensor(path) for path in sorted(part.glob(f"{kind}_*"), key=number)]
            for kind in ("input", "output")
        )
        for part in sorted(folder.glob("test_data_set_*"))
    ]
    return onnx.load(folder / "model.onnx"), data


def number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def summary() -> dict[str, Any]:
    """How many cases there are, how many of ours passed, and what stood against the others."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    for case in filter(lambda case: case.is_ours, cases()):
        row = rows[case.suite, ", ".join(sorted(case.operators & OURS))]
        try:
            case.check()
            row["passed"] += 1
        except OutOfScope as reason:
            row["out_of_scope"] += 1
            reasons[str(reason)] += 1
        except Exception:
            row["failed"] += 1
    outcomes = ("passed", "failed", "out_of_scope")
    return {
        "onnx": onnx.__version__,
        "cases": len(cases()),
        "ours": sum(row.total() for row in rows.values()),
        "ours_beside_others": sum(bool(c.operators & OURS) and not c.is_ours for c in cases()),
        **{name: sum(row[name] for row in rows.values()) for name in outcomes},
        "reasons": dict(reasons),
        "rows": [
            {"suite": suite, "operators": operators} | {name: row[name] for name in outcomes}
            for (suite, operators), row in sorted(rows.items())
        ],
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(as_json: bool) -> None:
    """Run the test suites of ONNX on the operations of minispiral; exit 1 if a case fails."""
    found = summary()
    if as_json:
        click.echo(json.dumps(found))
    else:
        table = Table("suite", "operators", box=box.SIMPLE, title=f"onnx {found['onnx']}")
        for heading in ("run", "passed", "out of scope"):
            table.add_column(heading, justify="right")
        for row in found["rows"]:
            counts = row["passed"] + row["failed"], row["passed"], row["out_of_scope"]
            table.add_row(row["suite"], row["operators"], *(str(n) if n else "" for n in counts))
        console = Console(highlight=False)
        console.print(table)
        for reason, count in sorted(found["reasons"].items()):
            console.print(f"{count:5} out of scope: {reason}")
        console.print(
            f"{found['passed']:5} of {found['passed'] + found['failed']} passed\n"
            f"{found['cases'] - found['ours']:5} more use operators that minispiral has not, "
            f"{found['ours_beside_others']} of them beside its own"
        )
    raise SystemExit(bool(found["failed"]))


if __name__ == "__main__":
    main()
