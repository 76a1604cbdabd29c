"""``minispiral check``, and what ``train`` and ``evaluate`` tell of a dataset."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.small import TRAINING, command, make_dataset, make_photo, refusal, write_pair

pytestmark = pytest.mark.usefixtures("no_curves")


def test_a_sound_dataset(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3)
    result = command("check", data)
    assert result.exit_code == 0
    assert "0 errors, 0 warnings" in result.stdout
    assert "3 photographs, 0.00945 megapixels" in result.stdout
    assert "warning" not in result.stderr


def test_warnings_leave_the_exit_code(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3, without_crack=1)
    result = command("check", data)
    assert result.exit_code == 0
    assert "0 errors, 1 warning\n" in result.stdout
    assert f"warning: {data / 'masks' / 'd.png'}: has no crack pixel" in result.stderr


def test_errors_end_with_one(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3)
    (data / "masks" / "b.png").unlink()
    (data / "images" / "c.png").write_bytes(b"nothing")
    result = command("check", data)
    assert result.exit_code == 1
    assert "2 errors, 0 warnings" in result.stdout
    assert f"error: {data / 'images' / 'b.png'}: has no mask" in result.stderr
    assert "Traceback" not in result.stderr


def test_json(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3, without_crack=1)
    (data / "masks" / "b.png").unlink()
    result = command("check", data, "--val", data, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [problem["kind"] for problem in found["errors"]] == ["no mask"]
    assert [problem["kind"] for problem in found["warnings"]] == ["same folder", "no crack"]
    for problem in (*found["errors"], *found["warnings"]):
        assert set(problem) == {"file", "kind", "text"}
    masks = [np.asarray(Image.open(data / "masks" / f"{name}.png")) > 0 for name in "acd"]
    assert found["crack_share"] == pytest.approx(np.mean(masks), rel=1e-12)
    assert [photo["name"] for photo in found["data"]["photos"]] == ["a", "c", "d"]


def test_json_where_there_is_nothing_to_check(tmp_path):
    result = command("check", tmp_path / "none", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert "no folder" in found["errors"][0]["text"]
    assert "no folder" in refusal(command("check", tmp_path / "none"))


def test_the_page(tmp_path, rng):
    data, page = make_dataset(tmp_path / "data", rng, 2), tmp_path / "page.html"
    result = command("check", data, "--out", page)
    assert result.exit_code == 0
    assert f"contact sheet: {page}" in result.stdout
    assert page.read_text(encoding="utf-8").count("<img") == 4


@pytest.mark.parametrize("page", ["page.pdf", "none/page.html", "."])
def test_a_place_where_no_page_can_be_is_refused_before_work(tmp_path, rng, page):
    data = make_dataset(tmp_path / "data", rng, 1)
    result = command("check", data, "--out", tmp_path / page)
    assert result.exit_code == 2
    assert "--out" in result.stderr
    assert "checking" not in result.stderr


def trained(tmp_path, *words):
    result = command("train", tmp_path / "data", "--out", tmp_path / "run", *TRAINING, *words)
    assert result.exit_code == 0, result.output
    return result


def test_train_tells_of_its_photographs_before_the_first_step(tmp_path, rng):
    make_dataset(tmp_path / "data", rng, 3, without_crack=1)
    result = trained(tmp_path)
    line = re.compile(r"^4 photographs, 0.0126 megapixels, [\d.]+ % crack, 1 without crack$", re.M)
    assert line.search(result.stderr)
    assert line.search(result.stderr).start() < result.stderr.index("training")
    assert "warning" not in result.stderr
    assert result.stdout == f"trained network: {tmp_path / 'run'}\n"


def test_train_warns_of_a_mask_beside_its_crack_and_of_one_inverted(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 2)
    photo, mask = make_photo(rng, 45, 70)
    write_pair(data, "beside", photo, np.roll(mask, 20, axis=0))
    photo, mask = make_photo(rng, 45, 70)
    write_pair(data, "inverted", photo, ~mask)
    before, training, _ = trained(tmp_path).stderr.partition("training 6/6")
    assert training
    assert f"warning: {data / 'masks' / 'beside.png'}: seems to lie beside" in before
    assert f"warning: {data / 'masks' / 'inverted.png'}: is 9" in before


def test_train_warns_of_photographs_to_validate_on_that_it_trains_on(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 3)
    (tmp_path / "link").symlink_to(data)
    result = trained(tmp_path, "--val", tmp_path / "link")
    warning = f"warning: {tmp_path / 'link'}: has the photographs of"
    assert result.stderr.count("warning:") == 1
    assert warning in result.stderr


def test_train_warns_of_one_shared_photograph(tmp_path, rng):
    data, val = make_dataset(tmp_path / "data", rng, 3), make_dataset(tmp_path / "val", rng, 1)
    photo = np.asarray(Image.open(data / "images" / "b.png"))
    mask = np.asarray(Image.open(data / "masks" / "b.png")) > 0
    write_pair(val, "x", photo[:, ::-1], mask[:, ::-1])
    result = trained(tmp_path, "--val", val)
    assert result.stderr.count("warning:") == 1
    assert f"{val / 'images' / 'x.png'}: shows the same as {data / 'images' / 'b.png'}" in (
        result.stderr
    )


def test_evaluate_warns_and_its_json_stays_whole(tmp_path, rng):
    data = make_dataset(tmp_path / "data", rng, 2)
    trained(tmp_path)
    sound = command("evaluate", tmp_path / "run", data, "--json")
    assert "warning" not in sound.stderr
    photo, mask = make_photo(rng, 45, 70)
    write_pair(data, "inverted", photo, ~mask)
    result = command("evaluate", tmp_path / "run", data, "--json")
    assert f"warning: {data / 'masks' / 'inverted.png'}" in result.stderr
    assert len(json.loads(result.stdout)["photos"]) == 3
