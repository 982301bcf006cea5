"""Compiles what plans in GPU style give a device, for the GPUs of three makers, without any of them.

Usage: check_kernels.py [--all] DUMP MODEL_TEXT_FILE... DUMP is the program gpu_offline_dump. Every kernel of every model, in
the variant that is guessed first, is compiled for every target; the other variants of the first model for one target of each
maker (--all: of all models and for all targets, which takes long). Fails where a kernel does not build or spills registers.
The table tells, for the first model, what bounds each kernel's speed; the bounds are predictions, of targets.py.
Compilers that are missing are named and passed over; exit status 77 (skipped) if none is there.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from compilers import COMPILE, Failed, missing
from isa import hot_loop
from targets import AMD, INTEL, NVIDIA, TARGETS, bounds, nvidia_occupancy

BATCH = 128
CHUNK = 12                                   # kernels compiled together: few enough for both cores to be busy
ONE_OF_EACH = {"gfx1030", "sm_86", "dg2"}    # targets that the other variants are compiled for
JOBS = 2


def split(text):
    """(what all kernels share, {kernel: its copy of a source}) of a program text."""
    shared, *copies = re.split(r"(?m)^(?=#undef INSTANCE\n)", text)
    return shared, {"%s_%s" % re.search(r"#define INSTANCE (\d+)\n#define KERNEL_(\w+)", copy).group(2, 1): copy for copy in copies}


def round_fmas(copy):
    """Multiply-adds of an item in a round of the loop over K, where the copy is one of gemm.cl's."""
    defines = dict(re.findall(r"^#define (\w+) (\d+)$", copy, re.MULTILINE))
    return int(defines["TILE_K"]) // int(defines["SLICES"]) * int(defines["ITEM_M"]) * int(defines["ITEM_N"]) if "TILE_K" in defines else None


def compile_chunk(target, shared, copies, names, folder):
    """{kernel: facts} of some kernels, or the text of a failure."""
    out = os.path.join(folder, "%s-%s" % (target.name, names[0]))
    with open(out + ".cl", "w", encoding="utf-8") as file:
        file.write(shared + "".join(copies[name] for name in names))
    try:
        told = COMPILE[target.maker.name](target, out + ".cl", out)
    except Failed as failure:
        return str(failure)
    lost = [name for name in names if name not in told]
    return "%s: the compiler tells nothing of %s" % (target.name, ", ".join(lost)) if lost else told


def row_of(target, launch, facts, copy):
    counts = hot_loop(facts["items"], round_fmas(copy)) if "items" in facts else None
    found = bounds(target, counts, launch["flops"], launch["bytes"])
    percent = lambda value: "%4.0f %%" % (100 * value) if value is not None else "     -"
    lowest = min(found, key=found.get) if found else None
    groups = launch["groups"][0] * launch["groups"][1] * launch["groups"][2]
    size = launch["local"][0] * launch["local"][1] * launch["local"][2]
    waves = nvidia_occupancy(target, facts["registers"], facts["local"], size) if target.maker == NVIDIA else facts.get("occupancy")
    share = counts.fma_share if counts and counts["fmas"] else None
    return "%-8s %-34s %6d x %-4d %5s %6s %5s %6s  %s %s %s %s   %s" % (
        target.name, launch["label"], groups, size, facts.get("registers", "-"), facts.get("local", "-"),
        "%.1f" % waves if waves else "-", facts["spill"], percent(share),
        percent(found.get("issue")), percent(found.get("local")), percent(found.get("bandwidth")),
        "%3.0f %% by %s" % (100 * found[lowest], lowest) if "issue" in found else "-")


HEADER = "%-8s %-34s %6s x %-4s %5s %6s %5s %6s  %6s %6s %6s %6s   %s" % (
    "target", "kernel", "groups", "size", "regs", "local", "waves", "spill", "FMA", "issue", "local", "memory", "predicted bound on the share of peak")


def main():
    arguments = sys.argv[1:]
    everything = "--all" in arguments
    arguments = [argument for argument in arguments if argument != "--all"]
    if len(arguments) < 2:
        sys.exit(__doc__)
    dump, models = arguments[0], arguments[1:]
    first = os.path.basename(models[0])
    makers = []
    for maker in (AMD, NVIDIA, INTEL):
        lacks = missing(maker.name)
        if lacks:
            print("SKIP: %s: %s is not installed" % (maker.name, lacks))
        else:
            makers.append(maker)
    if NVIDIA in makers and not shutil.which("nvdisasm"):
        print("SKIP: NVIDIA: nvdisasm (CUDA toolkit, or PyPI: nvidia-cuda-nvdisasm) is not installed, so no instructions are counted")
    if not makers:
        sys.exit(77)

    failures, rows = [], []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(JOBS) as pool:
        work = []
        for maker in makers:
            limits = [str(limit) for limit in (maker.max_group, maker.local_bytes, maker.registers, BATCH)]
            given = json.loads(subprocess.run([dump, *limits, *models], stdout=subprocess.PIPE, check=True).stdout)
            shared, copies = split(given["text"])
            guessed = {launch["kernel"] for launch in given["launches"] if launch["variant"] == 0}
            others = {launch["kernel"] for launch in given["launches"] if everything or launch["model"] == first} - guessed
            for target in (target for target in TARGETS if target.maker == maker):
                names = sorted(guessed | others if everything or target.name in ONE_OF_EACH else guessed)
                for at in range(0, len(names), CHUNK):
                    chunk = names[at:at + CHUNK]
                    work.append((target, given, copies, pool.submit(compile_chunk, target, shared, copies, chunk, folder)))
        facts = {}
        for target, given, copies, future in work:
            told = future.result()
            if isinstance(told, str):
                failures.append(told)
                continue
            facts.setdefault(target.name, (target, given, copies, {}))[3].update(told)
    compiled = 0
    for target, given, copies, told in facts.values():
        labels = {}
        for launch in given["launches"]:
            labels.setdefault(launch["kernel"], "%s: %s, variant %d" % (launch["model"], launch["label"], launch["variant"]))
        compiled += len(told)
        failures += ["%s: %s (%s) spills %d bytes or registers" % (target.name, labels[name], name, fact["spill"])
                     for name, fact in told.items() if fact["spill"]]
        seen = set()
        for launch in given["launches"]:
            wanted = launch["model"] == first and launch["section"] == "train" and launch["variant"] == 0 and launch["kernel"] in told
            if wanted and launch["flops"] > 0 and (launch["label"], launch["kernel"]) not in seen:
                seen.add((launch["label"], launch["kernel"]))
                rows.append(row_of(target, launch, told[launch["kernel"]], copies[launch["kernel"]]))
    print("%s at batch %d; every figure is of the compiled kernel, and the bounds are predictions" % (first, BATCH))
    print("\n".join([HEADER, *rows]))
    print("%d kernels compiled" % compiled)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
