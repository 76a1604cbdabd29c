"""A profile counts every moment once, under the layer and the kind of work it went to."""

import shlex
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from minispiral import ops
from minispiral.cli import tables
from minispiral.cli.progress import TerminalReporter
from minispiral.losses import LOSSES
from minispiral.networks import HED, UNet
from minispiral.nn import Conv2d, ConvNormReLU, Module
from minispiral.optim import Adam
from minispiral.profiling import REST, Profile, profile, span
from minispiral.tensor import Function, Tensor, no_grad
from tests.small import TRAINING, command, make_dataset, refusal

NAP = 0.02


class Sleep(Function):
    """Takes NAP forward and twice as long backward."""

    def forward(self, x: NDArray) -> NDArray:
        time.sleep(NAP)
        return x

    def backward(self, gy: NDArray) -> NDArray:
        time.sleep(2 * NAP)
        return gy


class Sleeper(Module):
    def forward(self, x: Tensor) -> Tensor:
        return Sleep()(x)


class Nested(Module):
    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.blocks = [Sleeper(), ConvNormReLU(3, 2, rng), ConvNormReLU(2, 2, rng)]
        self.blocks[2].fused = False
        self.last = Conv2d(2, 1, 1, rng)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return ops.sum(self.last(x))


@pytest.fixture
def nested(rng: np.random.Generator) -> Profile:
    """A step through nested modules, the photograph having a gradient too."""
    network = Nested(rng)
    x = Tensor(rng.random((2, 15, 15, 3), np.float32), requires_grad=True)
    adam = Adam(network.named_parameters())
    with profile() as p:
        network(x).backward()
        adam.step()
    return p


def test_a_function_of_ones_own_shows_up_under_its_name_and_layer(nested: Profile) -> None:
    there, back = (nested.spent["blocks.0", f"Sleep, {way}"] for way in ("forward", "backward"))
    assert (there.calls, back.calls) == (1, 1)
    assert there.seconds >= NAP
    assert back.seconds >= 2 * NAP


def test_layers_are_named_within_the_outermost_module(nested: Profile) -> None:
    assert list(nested.by_layer()) == [
        *("blocks.0", "blocks.1", "blocks.2.conv", "blocks.2.norm", "blocks.2", "last"),
        *("Nested", ""),
    ]
    kinds = {}
    for layer, kind in nested.spent:
        kinds.setdefault(layer, set()).add(kind)
    directions = {"forward", "backward"}
    assert kinds["Nested"] == {f"Sum, {way}" for way in directions}
    assert kinds["blocks.2"] == {f"ReLU, {way}" for way in directions}
    assert kinds["blocks.2.norm"] == {f"batch norm, {way}" for way in directions}
    waiting = "convolution, weight gradient"
    assert kinds[""] == {"optimiser", waiting, REST}


def test_a_fused_node_is_split_into_its_convolution_and_its_batch_norm(nested: Profile) -> None:
    fused = {kind: s.calls for (layer, kind), s in nested.spent.items() if layer == "blocks.1"}
    assert fused == {
        "convolution, forward": 1,
        "batch norm and ReLU, forward": 1,
        "batch norm and ReLU, backward": 1,
        "convolution, input gradient": 1,
        "convolution, weight gradient": 1,
    }


def test_each_moment_counts_once() -> None:
    start = time.perf_counter()
    with profile() as p:
        time.sleep(NAP)
        with span("outer"):
            time.sleep(NAP)
            with span("inner", "part"):
                time.sleep(3 * NAP)
            with span("closed", opaque=True), span("never seen"):
                Sleep()(Tensor([1.0]))
    passed = time.perf_counter() - start
    assert passed - 0.01 < p.seconds <= passed
    assert {place: spent.calls for place, spent in p.spent.items()} == {
        ("", REST): 0,
        ("", "outer"): 1,
        ("", "inner, part"): 1,
        ("", "closed"): 1,
    }
    times = {kind: spent.seconds for kind, spent in p.kinds().items()}
    assert times["inner, part"] >= 3 * NAP
    assert all(seconds >= NAP for seconds in times.values())
    assert list(times)[-1] == REST
    assert list(times)[:-1] == sorted(list(times)[:-1], key=times.__getitem__, reverse=True)


def test_sums_are_those_of_the_entries(nested: Profile) -> None:
    for sums in (nested.kinds(), nested.by_layer()):
        assert sum(s.seconds for s in sums.values()) == pytest.approx(nested.seconds)
        assert sum(s.calls for s in sums.values()) == sum(s.calls for s in nested.spent.values())
    as_dict = nested.as_dict()
    assert as_dict["seconds"] == nested.seconds
    assert as_dict["kinds"]["Sleep, forward"]["calls"] == 1
    assert len(as_dict["layers"]) == len(nested.spent)


def test_an_exception_leaves_a_whole_profile_and_ends_it() -> None:
    with pytest.raises(KeyError), profile() as p, span("broken"):
        raise KeyError
    assert p.spent["", "broken"].calls == 1
    seconds = p.seconds
    with span("afterwards"), no_grad():
        Sleep()(Tensor([1.0]))
    assert p.seconds == seconds
    assert len(p.spent) == 2


def test_a_profile_sees_its_own_thread_only() -> None:
    def elsewhere() -> None:
        with span("elsewhere"):
            pass

    with profile() as p:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert list(p.kinds()) == [REST]


@pytest.mark.parametrize("kind", ["spiral", "hed"])
def test_results_have_the_same_bits_with_and_without(kind: str) -> None:
    def train(profiled: bool) -> tuple[bytes, ...]:
        rng = np.random.default_rng(3)
        network = UNet(2, 0.05, rng=rng) if kind == "spiral" else HED(0.05, rng=rng)
        x = rng.random((2, 31, 31, 3), np.float32)
        mask = rng.random((2, 31, 31, 1)) < 0.1
        adam = Adam(network.named_parameters())

        def step() -> None:
            adam.zero_grad()
            LOSSES["pseudo-f1"](network.outputs(Tensor(x))[-1], mask).backward()
            adam.step()

        for _ in range(2):
            if profiled:
                with profile() as p:
                    step()
                assert "encoder.1" in p.by_layer()
                assert p.kinds()["loss, forward"].calls == 1
            else:
                step()
        return tuple(array.tobytes() for array in network.state().values())

    assert train(profiled=True) == train(profiled=False)


def test_layers_of_hed_bear_their_names_in_training(rng: np.random.Generator) -> None:
    network = HED(0.05, rng=rng)
    x = Tensor(rng.random((2, 31, 31, 3), np.float32))
    with profile() as p:
        network.outputs(x)
    named = {name.removesuffix(".") for name, _ in network.modules()}
    assert set(p.by_layer()) - named == {"HED"}


def printed(p: Profile) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(tables.profile_by_kind(p))
        console.print(tables.profile_by_layer(p))
    return captured.get()


def test_tables_show_kinds_and_layers(nested: Profile) -> None:
    text = printed(nested)
    for shown in ("Sleep, backward", REST, "blocks.2.norm"):
        assert shown in text


def test_what_takes_no_time_is_added_to_the_rest() -> None:
    with profile() as p:
        with span("rare"):
            pass
        time.sleep(NAP)
    shown = printed(p)
    assert "rare" not in shown
    assert "100.0%" in shown


@pytest.fixture
def words(tmp_path: Path, rng: np.random.Generator) -> list[object]:
    """The command that trains a small network, with validation."""
    data = make_dataset(tmp_path / "data", rng, photos=1)
    return ["train", data, "--val", data, "--out", tmp_path / "run", *TRAINING]


def test_training_is_profiled_on_request(words: list[object]) -> None:
    result = command(*words, "--profile")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"trained network: {words[5]}\n"
    for shown in (
        "convolution, forward",
        "validation",
        "stages.1.encoder.0",
    ):
        assert shown in result.stderr
    assert "everything else" not in command(*words, "--resume", "--steps", 7).stderr


def test_a_stopped_training_shows_its_profile_too(
    words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(self: TerminalReporter, step: int, *running: object) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TerminalReporter, "stepped", press)
    result = command(*words, "--profile")
    assert "stages.1.encoder.0" in result.stderr
    go_on = shlex.split(refusal(result, 130).partition("go on with: ")[2])
    monkeypatch.undo()
    assert command(*go_on[1:]).exit_code == 0
