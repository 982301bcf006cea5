"""Runs the makers' compilers on OpenCL C, each for a target without its GPU, and gives what they tell of every kernel."""
import ctypes.util
import os
import re
import shutil
import subprocess

from isa import parse_amd, parse_intel, parse_sass

CLANG = ["-x", "cl", "-cl-std=CL1.2", "-O3", "-Xclang", "-finclude-default-header", "-Wno-linker-warnings"]
CLC = {"AMD": "amdgcn--amdhsa.bc", "NVIDIA": "nvptx64--nvidiacl.bc"}    # get_local_id(), barrier() and so on


class Failed(Exception):
    pass


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False,
                          timeout=600, **options)
    if done.returncode:
        raise Failed("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout[-3000:]))
    return done.stdout


def clang():
    """The newest clang on PATH, as AMD's youngest targets need one of LLVM 15 and later; None if there is none."""
    return next(filter(None, (shutil.which("clang-%d" % version) for version in range(25, 14, -1))), None) or shutil.which("clang")


def clc(maker):
    """The path of libclc's part for a maker; None if it is not installed. $LIBCLC names its folder."""
    path = os.path.join(os.environ.get("LIBCLC") or "/usr/lib/clc", CLC[maker])
    return path if os.path.exists(path) else None


def missing(maker):
    """What is missing to compile for a maker, as text; empty if nothing is."""
    if maker == "Intel":
        return "" if shutil.which("ocloc") else "ocloc (Debian: intel-opencl-icd)"
    lacks = []
    if not clang():
        lacks.append("clang (Debian: clang-19)")
    if not clc(maker):
        lacks.append("libclc (Debian: libclc-15 or libclc-19; $LIBCLC names its folder)")
    if maker == "NVIDIA" and not shutil.which("ptxas"):
        lacks.append("ptxas (CUDA toolkit, or PyPI: nvidia-cuda-nvcc)")
    return ", ".join(lacks)


def compile_amd(target, source, out):
    run([clang(), *CLANG, "-target", "amdgcn-amd-amdhsa", "-mcpu=" + target.name, "-nogpulib", "-Xclang", "-mlink-builtin-bitcode",
         "-Xclang", clc("AMD"), "-S", source, "-o", out + ".s"])
    with open(out + ".s", encoding="utf-8") as file:
        text = file.read()
    told = {}
    for name, body in re.findall(r"\.amdhsa_kernel (\w+)\n(.*?)(?=\.amdhsa_kernel|\.amdgpu_metadata|\Z)", text, re.DOTALL):
        number = lambda what: int(re.search(r"; %s: (\d+)" % what, body).group(1))
        told[name] = {"registers": number("NumVgprs"), "spill": number("ScratchSize"), "local": number("LDSByteSize"),
                      "occupancy": number("Occupancy")}
    code = parse_amd(text)
    for name, facts in told.items():
        facts["items"] = code[name]
    return told


def compile_nvidia(target, source, out):
    run([clang(), *CLANG, "-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", target.name, "-Xclang",
         "-mlink-builtin-bitcode", "-Xclang", clc("NVIDIA"), "-S", source, "-o", out + ".ptx"])
    with open(out + ".ptx", encoding="utf-8") as file:
        text = re.sub(r"(?m)^\.target.*$", ".target " + target.name, file.read())
    with open(out + ".ptx", "w", encoding="utf-8") as file:
        file.write(text)
    log = run(["ptxas", "-v", "-arch=" + target.name, out + ".ptx", "-o", out + ".cubin"])
    told = {}
    for name, body in re.findall(r"Compiling entry function '(\w+)'(.*?)(?=Compiling entry function|\Z)", log, re.DOTALL):
        number = lambda pattern: int((re.search(pattern, body) or [0, 0])[1])
        told[name] = {"registers": number(r"Used (\d+) registers"), "local": number(r"(\d+) bytes smem"),
                      "spill": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")}
    if shutil.which("nvdisasm"):
        code = parse_sass(run(["nvdisasm", "-c", out + ".cubin"]))
        for name, facts in told.items():
            facts["items"] = code[name]
    return told


def compile_intel(target, source, out):
    os.makedirs(out, exist_ok=True)
    log = run(["ocloc", "compile", "-file", source, "-device", target.name, "-options", "-cl-std=CL1.2", "-output", "k", "-out_dir", out])
    spills = {name: int(count) for name, count in re.findall(r"kernel (\w+)\s+compiled .*spilled around (\d+)", log)}
    binary = next(os.path.join(out, name) for name in sorted(os.listdir(out)) if name.endswith(".bin"))
    # ocloc looks for the disassembler under a name that only its development package has
    iga = ctypes.util.find_library("iga64")
    library = next((os.path.join(folder, iga) for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
                    if iga and os.path.exists(os.path.join(folder, iga))), None)
    if library:
        os.symlink(library, os.path.join(out, "libiga64.so"))
    run(["ocloc", "disasm", "-file", binary, "-device", target.name, "-dump", os.path.join(out, "dump")],
        env=dict(os.environ, LD_LIBRARY_PATH=out))
    told = {}
    for name in os.listdir(os.path.join(out, "dump")):
        kernel = re.match(r"(\w+)_KernelHeap\.(asm|dat)$", name)
        if not kernel:
            continue
        facts = told.setdefault(kernel.group(1), {"spill": spills.get(kernel.group(1), 0)})
        if kernel.group(2) == "asm":
            with open(os.path.join(out, "dump", name), encoding="utf-8") as file:
                facts["items"] = parse_intel(file.read())
    return told


COMPILE = {"AMD": compile_amd, "NVIDIA": compile_nvidia, "Intel": compile_intel}
