"""What `python -m bench gpu host` measures, on a tiny photograph."""

from bench.gpu import host


def test_every_stage_is_timed_and_every_way_to_encode_tried():
    found = host.measure((131, 157), repeats=1, count=3, depths=2, width=0.06)
    seconds = found["cpu_seconds"]
    assert {"read", "search", "encode overlay", "write mask"} <= set(seconds)
    assert found["launches"] > 10
    assert max(seconds.values()) <= found["longest_path"] <= found["sum"]
    assert found["longest_stage"] <= found["longest_path"]
    assert set(found["wall_seconds"]) == {"one", "the next"}
    assert [row["way"] for row in found["png"]][-1] == host.CHOSEN
    assert all(row["map_bytes"] > row["mask_bytes"] > 0 for row in found["png"])
    assert len(host.tables(found)) == 2
