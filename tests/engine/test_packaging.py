"""The kernels are found as minispiral.kernels, and only so, however the project is installed."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

INSTALLS = {
    "none": None,
    "regular": ["."],
    "editable": ["-e", "."],
    "strict": ["-e", ".", "--config-settings", "editable_mode=strict"],
    "compat": ["-e", ".", "--config-settings", "editable_mode=compat"],
}

USE_KERNELS = """
import numpy as np
import minispiral.kernels.conv2d as conv2d
y = conv2d.conv2d(np.ones((1, 3, 3, 1), np.float32), np.ones((3, 3, 1, 1), np.float32))
assert y.shape == (1, 1, 1, 1) and y.item() == 9
print(conv2d.__file__)
"""


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to all that is installed beside NumPy, save minispiral itself."""
    links = tmp_path_factory.mktemp("dependencies")
    for entry in Path(np.__file__).parents[1].iterdir():
        if not entry.name.startswith(("minispiral", "__editable__")) and entry.suffix != ".pth":
            (links / entry.name).symlink_to(entry)
    return links


class Installed:
    """A copy of the checkout, installed (or not) for a Python of its own, offline."""

    def __init__(self, mode: str, folder: Path, dependencies: Path) -> None:
        self.mode = mode
        self.checkout = folder / "checkout"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir(parents=True)
        self.checkout.mkdir()
        for name in ("minispiral", "kernels", "bench"):
            shutil.copytree(
                ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.checkout)
        for name in ("probe.cu", "probe.cuh"):
            (self.checkout / "kernels" / "cuda" / name).write_text("// data that must be shipped\n")

        venv.create(folder / "venv", symlinks=os.name != "nt")
        self.scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("PYTHON")
        }
        self.environment["PYTHONPATH"] = str(dependencies)
        arguments = INSTALLS[mode]
        if arguments is None:
            self.environment["PYTHONPATH"] += os.pathsep + str(self.checkout)
        else:
            offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
            self.run(self.checkout, "-m", "pip", "install", *offline, *arguments)

    def run(self, folder: Path, *arguments: str) -> str:
        """Run Python in ``folder`` and return what it printed."""
        done = self.attempt(folder, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def attempt(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.scripts / "python"), *arguments],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module", params=INSTALLS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dependencies: Path
) -> Installed:
    return Installed(request.param, tmp_path_factory.mktemp(request.param), dependencies)


def test_kernels_from_the_checkout_are_the_files_of_the_checkout(installed: Installed) -> None:
    used = Path(installed.run(installed.checkout, "-c", USE_KERNELS))
    assert used == installed.checkout / "kernels" / "conv2d.py"


def test_kernels_from_elsewhere_are_the_installed_files(installed: Installed) -> None:
    used = Path(installed.run(installed.elsewhere, "-c", USE_KERNELS))
    source = installed.checkout / "kernels" / "conv2d.py"
    if installed.mode == "regular":
        assert not used.is_relative_to(installed.checkout)
        assert used.read_bytes() == source.read_bytes()
        assert (used.parent / "cuda" / "probe.cu").is_file()
        assert (used.parent / "cuda" / "probe.cuh").is_file()
        assert (used.parents[1] / "py.typed").is_file()
    else:
        assert used.samefile(source)
        assert (used.parent / "cuda" / "probe.cu").is_file()


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_plain_kernels_cannot_be_imported(installed: Installed, place: str) -> None:
    done = installed.attempt(getattr(installed, place), "-c", "import kernels.conv2d")
    assert done.returncode != 0
    found = place == "checkout" or installed.mode in {"none", "compat"}
    sentence = "import minispiral.kernels" if found else "No module named 'kernels'"
    assert sentence in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
@pytest.mark.parametrize("name", ["bench", "minispiral", "minispiral.errors"])
def test_nothing_but_the_kernels_is_found_inside_the_package(
    installed: Installed, place: str, name: str
) -> None:
    done = installed.attempt(getattr(installed, place), "-c", f"import minispiral.{name}")
    assert done.returncode != 0
    assert f"No module named 'minispiral.{name.split('.')[0]}'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_module_runs_as_a_command(installed: Installed, place: str) -> None:
    assert "Usage: minispiral" in installed.run(
        getattr(installed, place), "-m", "minispiral", "--help"
    )


def test_every_file_of_both_folders_is_found(installed: Installed) -> None:
    for name, module in {"minispiral": "minispiral", "kernels": "minispiral.kernels"}.items():
        show = f"import {module} as m; print(m.__path__[0])"
        shipped = Path(installed.run(installed.elsewhere, "-c", show))
        source = installed.checkout / name
        expected = {
            path.relative_to(source)
            for path in source.rglob("*")
            if path.suffix in {".py", ".cu", ".cuh"}
        }
        assert expected <= {path.relative_to(shipped) for path in shipped.rglob("*")}
