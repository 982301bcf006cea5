"""Compiles each public header alone, with every warning an error. Exit status 77 (skipped) without a compiler.

Usage: check_header.py INCLUDE_FOLDER LANGUAGE STANDARD COMPILER... ; LANGUAGE is "c" or "c++". Before the headers, a
header with a mistake is tried, which the compiler has to refuse.
"""
import os
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compiles(compiler, language, standard, folder, text):
    command = compiler + ["-x", language, "-std=" + standard, "-fsyntax-only", "-I", folder] + WARNINGS + ["-"]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                          check=False)
    return done.returncode == 0, done.stdout


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    include, language, standard, *compiler = sys.argv[1:]
    if not compiler:
        print("there is no %s compiler to try the headers with" % language)
        sys.exit(77)
    # Uses a type it does not include: the mistake this test is for.
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "wrong.h"), "w", encoding="utf-8") as file:
            file.write("uint32_t ink_wrong(size_t size);\n")
        if compiles(compiler, language, standard, folder, '#include "wrong.h"\n')[0]:
            sys.exit("the compiler took a header that lacks its includes: the check checks nothing")
    headers = sorted(name for name in os.listdir(os.path.join(include, "inkling")) if name.endswith(".h"))
    failed = not headers
    for name in headers:
        # Twice, for the include guard; the variable keeps the translation unit from being empty.
        text = '#include "inkling/%s"\n#include "inkling/%s"\nextern int ink_unit;\n' % (name, name)
        good, output = compiles(compiler, language, standard, include, text)
        print("%s as %s: %s" % (name, standard, "good" if good else "does not compile alone\n" + output))
        failed = failed or not good
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
