"""Pictures on a disk that takes only a part of them: Pillow itself would leave half a file."""

import sys

import numpy as np
import pytest
from PIL import Image

from minispiral.data.photos import write_picture
from minispiral.errors import UserError


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", ["wall.jpg", "wall.png"])
def test_a_picture_is_written_whole_or_not_at_all(name, tmp_path, rng):
    import resource

    path = tmp_path / name
    picture = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    write_picture(path, picture)
    size = path.stat().st_size
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, int(rng.integers(2, size - 1)), size - 1, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            if room < size:
                with pytest.raises(UserError, match=name):
                    write_picture(path, picture)
            else:
                write_picture(path, picture)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == old
        assert [entry.name for entry in tmp_path.iterdir()] == [name]
    Image.open(path).load()
