"""The GPUs that kernels are compiled for: how, what is known of the machine, and the bound on the fraction of its peak.

The bounds are predictions, of three things alone: issue slots that the hot loop spends on other than multiply-adds, local
memory's bandwidth with every lane's bytes counted (no broadcast), and global memory's with each tensor moved once. Latency,
bank conflicts, caches and how evenly work-groups fill the machine are not in them.
"""
import math
from collections import namedtuple

# max_group, local_bytes, registers: what OpenCL and src/device say of such a device
Maker = namedtuple("Maker", "name max_group local_bytes registers")
AMD = Maker("AMD", 256, 65536, 176)
NVIDIA = Maker("NVIDIA", 1024, 49152, 176)
INTEL = Maker("Intel", 256, 65536, 114)

# fma_slots: multiply-adds of a wave that an issue slot of its peak holds; shares: other kinds that take such slots too
# unit_fmas, unit_bytes: multiply-adds and bytes of local memory a clock of what shares one local memory
# tflops, gbytes: of a card, for the balance of arithmetic and memory
# waves, wave, file, unit_local: NVIDIA: waves of a scheduler at most, lanes, registers of a scheduler, local memory of a unit
Target = namedtuple("Target", "name maker card fma_slots shares unit_fmas unit_bytes tflops gbytes waves wave file unit_local",
                    defaults=(0, 0, 0, 0))

ALU = ("fma", "vector")                      # other kinds issue beside, from other waves
ALL = ("fma", "vector", "scalar", "local", "global", "barrier", "branch")   # one instruction a clock, of whatever kind

TARGETS = [
    Target("gfx906", AMD, "Radeon VII", 1, ALU, 64, 128, 13.4, 1024),
    Target("gfx1030", AMD, "RX 6900 XT", 1, ALU, 128, 256, 23.0, 512),
    Target("gfx1100", AMD, "RX 7900 XTX", 2, ALU, 256, 256, 61.4, 960),     # two multiply-adds an instruction at its peak
    Target("sm_75", NVIDIA, "RTX 2080 Ti", 0.5, ALL, 64, 128, 13.4, 616, 8, 32, 16384, 65536),   # one every other clock
    Target("sm_86", NVIDIA, "RTX 3090", 1, ALL, 128, 128, 35.6, 936, 12, 32, 16384, 102400),
    Target("sm_90", NVIDIA, "H100 SXM", 1, ALL, 128, 128, 66.9, 3350, 16, 32, 16384, 233472),
    Target("skl", INTEL, "HD 530", 1, ALU, 64, 64, 0.44, 34),
    Target("tgllp", INTEL, "Iris Xe 96", 1, ALU, 128, 128, 2.07, 68),
    Target("dg2", INTEL, "Arc A770", 1, ALU, 128, 128, 17.2, 560),
]


def nvidia_occupancy(target, registers, local_bytes, group):
    """Waves of a scheduler (a quarter of a multiprocessor) that run at once."""
    group_waves = math.ceil(group / target.wave)
    by_registers = 4 * (target.file // (math.ceil(registers / 8) * 8 * target.wave)) // group_waves
    by_local = target.unit_local // (local_bytes + 1024)
    groups = min(by_registers, by_local, 4 * target.waves // group_waves)
    return groups * group_waves / 4


def bounds(target, counts, flops, nbytes):
    """{"issue", "local", "bandwidth": predicted bound on the fraction of peak}; issue and local only with a hot loop."""
    found = {}
    if counts and counts["fmas"]:
        slots = sum(counts[kind] for kind in target.shares)
        # where multiply-adds cannot be issued every clock, others fill the clocks between
        found["issue"] = min(1.0, counts["fmas"] / (slots * target.fma_slots))
        if counts["local_bytes"]:
            found["local"] = min(1.0, counts["fmas"] / counts["local_bytes"] * target.unit_bytes / target.unit_fmas)
    if flops and nbytes:
        found["bandwidth"] = min(1.0, flops / nbytes * target.gbytes / (1e3 * target.tflops))
    return found
