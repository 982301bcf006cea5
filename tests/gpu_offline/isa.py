"""Reads what GPU compilers print of a kernel's instructions, and counts what decides its speed.

Every maker's listing becomes a list of Instruction with labels and branches between; what is counted is the hot loop: of all
loops that hold multiply-adds, the innermost with the most of them, and the loop around it where the caller knows how many
multiply-adds a round of that does (then the inner loop's instructions count as often as it takes to do so many).
"""
import re
from collections import namedtuple

# kind: fma, vector, scalar, local, global, barrier, branch or free (waits and hints that take no slot of their own);
# fmas: multiply-adds of a lane; nbytes: moved for a lane, where kind is local or global; target: label of a branch
Instruction = namedtuple("Instruction", "kind fmas nbytes target", defaults=(0, 0, None))
Label = namedtuple("Label", "name")


class Counts(dict):
    """Instructions of a loop by kind, with "fmas" and "local_bytes" of a lane; missing counts are 0."""

    def __missing__(self, key):
        return 0

    @classmethod
    def of(cls, items):
        counts = cls()
        for item in items:
            if isinstance(item, Label):
                continue
            counts[item.kind] += 1
            counts["fmas"] += item.fmas
            if item.kind == "local":
                counts["local_bytes"] += item.nbytes
        return counts

    def plus(self, other, times):
        return Counts({key: self[key] + times * other[key] for key in set(self) | set(other)})

    @property
    def issued(self):
        return sum(self[kind] for kind in ("fma", "vector", "scalar", "local", "global", "barrier", "branch"))

    @property
    def fma_share(self):
        return self["fma"] / self.issued if self.issued else 0.0


def loops(items):
    """(first, last) of every stretch that a branch at its end goes back to, innermost first."""
    places = {item.name: place for place, item in enumerate(items) if isinstance(item, Label)}
    last = {}
    for place, item in enumerate(items):
        if not isinstance(item, Label) and item.target in places and places[item.target] <= place:
            last[places[item.target]] = place
    return sorted(last.items(), key=lambda loop: loop[1] - loop[0])


def hot_loop(items, round_fmas=None):
    """Counts of the hot loop; None if no loop has multiply-adds. round_fmas: of a round of the loop over all of K."""
    found = [loop for loop in loops(items) if Counts.of(items[loop[0]:loop[1] + 1])["fmas"]]
    inner = [loop for loop in found
             if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in found)]
    if not inner:
        return None
    first, last = max(inner, key=lambda loop: Counts.of(items[loop[0]:loop[1] + 1])["fmas"])
    counts = Counts.of(items[first:last + 1])
    around = [loop for loop in found if loop[0] <= first and last <= loop[1] and loop != (first, last)]
    if round_fmas and around and counts["fmas"] < round_fmas:
        outer = Counts.of(items[around[0][0]:around[0][1] + 1])
        rest = outer.plus(counts, -1)
        return rest.plus(counts, (round_fmas - rest["fmas"]) / counts["fmas"])
    return counts


AMD_FMA = re.compile(r"v_(dual_)?(fma|fmac|mac|mad)(ak|mk)?_f32")


def amd_bytes(name):
    """Bytes of a lane that ds_read_b128, ds_read2_b32, ds_read2st64_b64, global_load_dwordx4 and their like move."""
    width = re.search(r"_b(\d+)$", name)
    if width:
        return int(width.group(1)) // 8 * (2 if re.search(r"(read|write|load|store)(_)?2(addr)?|2st64|_2addr", name) else 1)
    words = re.search(r"_dwordx(\d)", name)
    return 4 * int(words.group(1)) if words else 4


def parse_amd(text):
    """{kernel: [items]} of clang -S for amdgcn."""
    kernels, items = {}, None
    for line in text.splitlines():
        code = line.split(";")[0].strip()
        label = re.match(r"(\.?\w+):$", code)
        if label:
            name = label.group(1)
            if name.startswith(".Lfunc_end"):
                items = None
            elif name.startswith(".LBB"):
                if items is not None:
                    items.append(Label(name))
            elif not name.startswith(".L"):
                items = kernels.setdefault(name, [])
            continue
        if items is None or not code or code.startswith("."):
            continue
        name, _, operands = code.partition(" ")
        name = re.sub(r"_(e32|e64|dpp|sdwa|e64_dpp)$", "", name)
        if name.startswith("v_"):
            halves = code.split("::")
            fmas = sum(bool(AMD_FMA.match(half.strip())) for half in halves)
            items.append(Instruction("fma" if fmas else "vector", fmas))
        elif name.startswith("ds_"):
            items.append(Instruction("local", 0, amd_bytes(name)))
        elif re.match(r"(global|flat|buffer|scratch)_", name):
            items.append(Instruction("global", 0, amd_bytes(name)))
        elif name.startswith(("s_cbranch", "s_branch")):
            items.append(Instruction("branch", target=operands.split()[-1]))
        elif name == "s_barrier":
            items.append(Instruction("barrier"))
        elif re.match(r"s_(waitcnt|clause|delay_alu|nop|sleep|inst_prefetch|endpgm|code_end|sendmsg)", name):
            items.append(Instruction("free"))
        elif name.startswith("s_"):
            items.append(Instruction("scalar"))
    return kernels


SASS_LINE = re.compile(r"/\*[0-9a-f]+\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);")


def sass_bytes(name):
    width = re.search(r"\.(\d+)(\.|$)", name)
    return int(width.group(1)) // 8 if width and width.group(1) in ("64", "128") else 4


def parse_sass(text):
    """{kernel: [items]} of nvdisasm."""
    kernels, items = {}, None
    for line in text.splitlines():
        section = re.match(r"\s*\.text\.(\w+):", line)
        if section:
            items = kernels.setdefault(section.group(1), [])
            continue
        label = re.match(r"\s*(\.L_\w+):", line)
        if label and items is not None:
            items.append(Label(label.group(1)))
            continue
        found = SASS_LINE.search(line)
        if not found or items is None:
            continue
        name, operands = found.groups()
        base = name.split(".")[0]
        if base == "FFMA":
            items.append(Instruction("fma", 1))
        elif base in ("LDS", "STS", "LDSM"):
            items.append(Instruction("local", 0, sass_bytes(name)))
        elif base in ("LDG", "STG", "LD", "ST", "LDL", "STL"):
            items.append(Instruction("global", 0, sass_bytes(name)))
        elif base in ("BRA", "BRX", "JMP"):
            target = re.search(r"\.L_\w+", operands)
            items.append(Instruction("branch", target=target.group() if target else None))
        elif base == "BAR":
            items.append(Instruction("barrier"))
        elif base.startswith("U") or base in ("R2UR", "S2UR"):
            items.append(Instruction("scalar"))
        elif base != "NOP":
            items.append(Instruction("vector"))
    return kernels


INTEL_LINE = re.compile(r"^\s*(?:\([^)]*\)\s*)?([a-z][a-z0-9_.]*)\s*(?:\((\d+)\|M\d+\))?(.*)$")
INTEL_LANES = {"x": 1, "xy": 2, "xyz": 3, "xyzw": 4}


def parse_intel(text):
    """The items of one kernel of ocloc disasm; an instruction is of 8 lanes, so that twice as many lanes count twice."""
    items = []
    for line in text.splitlines():
        label = re.match(r"\s*(L\d+):", line)
        if label:
            items.append(Label(label.group(1)))
            continue
        code, _, note = line.partition("//")
        found = INTEL_LINE.match(code)
        if not found:
            continue
        name, lanes, operands = found.groups()
        name, times = name.split(".")[0], max(int(lanes or 8) // 8, 1)
        if name == "mad" and ":f" in operands:
            # of work-items: an instruction of 8 lanes does one for each of 8
            items += [Instruction("fma", 1)] * times
        elif name in ("send", "sends", "sendc", "sendsc"):
            width = re.search(r"with (x\w*)", note)
            block = re.search(r"x(\d+)(t)?\b", note)
            nbytes = 4 * (INTEL_LANES.get(width.group(1), 1) if width else int(block.group(1)) if block else 1)
            local = re.search(r"0x\w*FE\b", operands) or "slm" in note
            kind = "barrier" if "barrier" in note or "gateway" in note else "local" if local else "global"
            items.append(Instruction(kind, 0, nbytes))
        elif name in ("while", "jmpi", "goto", "brd", "brc", "break", "cont", "if", "else", "endif", "join", "call"):
            target = re.findall(r"\bL\d+\b", operands)
            items.append(Instruction("branch", target=target[-1] if target else None))
        elif name in ("nop", "sync", "wait", "illegal"):
            items.append(Instruction("free"))
        elif lanes == "1":
            items.append(Instruction("scalar"))
        else:
            items += [Instruction("vector")] * times
    return items
