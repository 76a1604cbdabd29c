"""Links between processes, with published figures, and clusters built of them."""

import math
from dataclasses import dataclass

CORES = 16  # of a machine in a cluster of processors: processes that share its link
GPUS = 8  # of a machine in a cluster of GPUs


@dataclass(frozen=True)
class Link:
    """Seconds to begin a collective and of each hop, bytes per second in one direction.

    ``source`` says where the figures are from.
    """

    name: str
    hop: float
    bandwidth: float
    source: str
    base: float = 0.0

    def latency(self, ends: int, rounds: int = 1) -> float:
        """Seconds of a collective without bytes: ``log2`` of the ends it reaches are hops."""
        return 0.0 if ends == 1 else self.base + rounds * self.hop * math.log2(ends)


@dataclass(frozen=True)
class Cluster:
    """Machines of ``size`` processes; ``inside`` links these, ``between`` the machines.

    A machine has ``links`` to the others, which its processes share.
    """

    name: str
    inside: Link
    size: int
    between: Link
    links: int = 1

    def shape(self, ranks: int) -> tuple[int, int]:
        """Processes of a machine, and machines."""
        return min(ranks, self.size), math.ceil(ranks / self.size)

    def gather_latency(self, ranks: int) -> float:
        """Seconds of a gather of nothing: once round the machine, once round the machines."""
        own, machines = self.shape(ranks)
        return self.inside.latency(own) + self.between.latency(machines)

    def gather_volume(self, ranks: int, size: float) -> float:
        """Seconds that the bytes of a gather take: ``size`` from each process, to each process.

        Those of other machines come in over the links, and all go round in each machine.
        """
        own, _ = self.shape(ranks)
        others = (ranks - own) * size / (self.links * self.between.bandwidth)
        return others + (ranks - 1) * size / self.inside.bandwidth

    def sum_seconds(self, ranks: int, size: float) -> float:
        """Seconds of a sum of ``size`` bytes over the processes, left in all.

        In each machine, and between the machines, a reduce-scatter and an all-gather (Rabenseifner
        2004): ``2 log2 p`` hops, and ``2 (p - 1) / p`` of the bytes through each link.
        """
        own, machines = self.shape(ranks)
        inside = 2 * (own - 1) / own * size / self.inside.bandwidth
        between = 2 * (machines - 1) / machines * size / (self.links * self.between.bandwidth)
        return self.inside.latency(own, 2) + inside + self.between.latency(machines, 2) + between


ETHERNET_10 = Link(
    "10 Gbit/s Ethernet",
    25e-6,
    1.17e9,
    "osu_latency of MPICH over TCP, small messages: 25 us "
    "(gist.github.com/jfgrimm/3af692a5475bdd4ed836b5a18197a209); 94 % of the nominal rate, the "
    "share that TCP in frames of 1500 bytes leaves",
)
ETHERNET_100 = Link(
    "100 Gbit/s Ethernet",
    2e-6,
    11.6e9,
    "MPI over Ethernet past the kernel: 1.93 us and 93 % of the nominal rate, measured at 40 "
    "Gbit/s (blogs.cisco.com/performance/mpi-over-40gb-ethernet)",
)
INFINIBAND_NDR = Link(
    "InfiniBand NDR",
    2e-6,
    50e9,
    "below 2 us, 400 Gbit/s in one direction (Microsoft, HBv4-series performance)",
)
NVLINK_4 = Link(
    "NVLink 4",
    0.6e-6,
    450e9,
    "900 GB/s in both directions (NVIDIA, H100); 6.6 us to begin and 0.6 us a hop in NCCL's own "
    "model (github.com/NVIDIA/nccl, src/graph/tuning.cc)",
    base=6.6e-6,
)
NCCL_NDR = Link(
    "InfiniBand NDR",
    5e-6,
    50e9,
    "400 Gbit/s for each GPU; 5 us a hop between machines in NCCL's own model",
)
LINKS = (ETHERNET_10, ETHERNET_100, INFINIBAND_NDR, NVLINK_4, NCCL_NDR)


def of_processors(inside: Link) -> list[Cluster]:
    """Clusters of machines like this one, whose processes speak over ``inside``."""
    return [
        Cluster(link.name, inside, CORES, link)
        for link in (ETHERNET_10, ETHERNET_100, INFINIBAND_NDR)
    ]


def of_gpus() -> list[Cluster]:
    """Clusters of machines with eight GPUs on NVLink."""
    return [
        Cluster("10 Gbit/s Ethernet", NVLINK_4, GPUS, ETHERNET_10),
        Cluster("100 Gbit/s Ethernet", NVLINK_4, GPUS, ETHERNET_100),
        Cluster("InfiniBand NDR x 8", NVLINK_4, GPUS, NCCL_NDR, links=GPUS),
    ]
