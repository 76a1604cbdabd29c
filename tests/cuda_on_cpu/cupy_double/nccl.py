"""``cupy.cuda.nccl`` of a single process."""

import ctypes

from .machine import machine

available = True
NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0
_BYTES = {NCCL_FLOAT32: 4, NCCL_FLOAT64: 8}

calls: list[tuple[object, ...]] = []  # noted for the tests


def get_unique_id() -> bytes:
    return bytes(range(128))


class NcclCommunicator:
    def __init__(self, ndev: int, commId: bytes, rank: int) -> None:
        assert (ndev, commId, rank) == (1, get_unique_id(), 0)

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
        calls.append(("allGather", count, datatype, stream))
        size = count * _BYTES[datatype]
        machine().queues[stream].add(lambda: ctypes.memmove(recvbuf, sendbuf, size))

    def allReduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        assert op == NCCL_SUM
        assert sendbuf == recvbuf
        calls.append(("allReduce", count, datatype, stream))
