"""Compiles and runs the C program of README.md, taken from the README's own text.

Usage: check_program.py README INCLUDE_FOLDER LIBRARY DATA_FOLDER COMPILER... The first ```c block has to compile as
strict C11 without a warning and to train on a few images; and with a folder without data it has to end with an error
that names the folder. Exit status 77 (skipped) where there is no OpenCL device.
"""
import os
import re
import subprocess
import sys
import tempfile

WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=False, timeout=240)
    print("$ %s\nexit status %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return done


def expect(condition, what):
    if not condition:
        sys.exit("the README's program: " + what)


def main():
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    readme, include, library, data, *compiler = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        block = re.search(r"^```c\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)
    expect(block, "README.md has no block that begins with ```c")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "digits.c"), "w", encoding="utf-8") as file:
            file.write(block.group(1))
        libraries = os.path.dirname(library)
        built = run(compiler + WARNINGS + ["digits.c", "-o", "digits", "-I" + include, library, "-Wl,-rpath," + libraries], folder)
        expect(built.returncode == 0, "does not compile")

        program = os.path.join(folder, "digits")
        trained = run([program, "cpu", "1024", data], folder)
        if trained.returncode != 0 and "no such device" in trained.stderr:
            print("no OpenCL CPU device is here to run it on")
            sys.exit(77)
        expect(trained.returncode == 0 and not trained.stderr, "failed")
        expect(re.search(r"^epoch 1: loss \d+\.\d+, ", trained.stdout, re.MULTILINE), "tells no loss")
        accuracy = re.search(r"^test accuracy (\d+\.\d+) %", trained.stdout, re.MULTILINE)
        # chance is 10 %; 1,024 images and three epochs give 77 %
        expect(accuracy and float(accuracy.group(1)) > 60, "has not learnt")
        expect(len(re.findall(r"^image \d+: a \d, .* %", trained.stdout, re.MULTILINE)) == 5, "reads no five digits")
        expect(os.path.getsize(os.path.join(folder, "digits.safetensors")) > 1000, "saves no model")

        missing = run([program, "cpu", "1024", os.path.join(folder, "nowhere")], folder)
        expect(missing.returncode == 1, "does not fail without data")
        expect("file error" in missing.stderr and "nowhere" in missing.stderr and not missing.stdout,
               "does not tell which data is missing")
        nothing = run([program, "no device of this name", "1024", data], folder)
        expect(nothing.returncode == 1 and "no device of this name" in nothing.stderr, "does not tell which device is missing")


if __name__ == "__main__":
    main()
