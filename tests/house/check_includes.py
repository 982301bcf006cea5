"""Fails when a source file includes from a layer that its own layer may not see.

Usage: check_includes.py SOURCE_ROOT. The layers are the folders of src/ and their includes go down only; `data` sees
only util, `tool` only its own headers, and everyone the public header. Before the real sources are read, upward
includes are planted in a copy of a small house, each of which has to be found.
"""
import os
import re
import sys
import tempfile

LAYERS = ["util", "device", "tensor", "ops", "model", "train"]
SEES = {layer: LAYERS[:place + 1] for place, layer in enumerate(LAYERS)}
SEES["data"] = ["util", "data"]
SEES["train"] = SEES["train"] + ["data"]
SEES["tool"] = ["tool"]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>)', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def without_comments(text):
    """The text with comments blanked and line numbers kept."""
    return COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text)


def included_layer(name, path, root):
    """The layer a quoted or bracketed include reaches: a folder of src/, "public", or None for the system's."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    for base in (beside, os.path.join(root, "src", name), os.path.join(root, "include", name)):
        if os.path.isfile(base):
            parts = os.path.relpath(os.path.normpath(base), root).split(os.sep)
            return "public" if parts[0] == "include" else parts[1] if parts[0] == "src" else parts[0]
    first = name.split("/")[0]
    return first if first in SEES and "/" in name else None


def check_house(root):
    """(number of files read, list of complaints)."""
    complaints, files = [], 0
    source = os.path.join(root, "src")
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            files += 1
            path = os.path.join(folder, name)
            place = os.path.relpath(path, root)
            parts = os.path.relpath(path, source).split(os.sep)
            layer = parts[0] if len(parts) > 1 else None
            if layer not in SEES:
                complaints.append("%s: is in no layer of the house (%s)" % (place, ", ".join(sorted(SEES))))
                continue
            with open(path, encoding="utf-8") as file:
                text = without_comments(file.read())
            for found in INCLUDE.finditer(text):
                included = found.group(1) or found.group(2)
                reached = included_layer(included, path, root)
                if reached not in (None, "public") and reached not in SEES[layer]:
                    line = text.count("\n", 0, found.start()) + 1
                    complaints.append("%s:%d: %s includes %s of %s, but sees only %s" % (
                        place, line, layer, included, reached, ", ".join(SEES[layer])))
    public = os.path.join(root, "include", "inkling")
    for name in sorted(os.listdir(public)):
        with open(os.path.join(public, name), encoding="utf-8") as file:
            text = without_comments(file.read())
        files += 1
        for found in INCLUDE.finditer(text):
            included = found.group(1) or found.group(2)
            if included_layer(included, os.path.join(public, name), root) not in (None, "public"):
                complaints.append("include/inkling/%s: the public header includes %s" % (name, included))
    return files, complaints


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


PLANTED = [
    ("src/util/a.c", '#include "device/a.h"\n'),
    ("src/device/a.c", '#include <tensor/a.h>\n'),
    ("src/tensor/a.h", '#  include "ops/a.h"\n'),
    ("src/ops/a.c", '#include "../model/a.h"\n'),
    ("src/model/a.c", '/* a */ int x;\n\n#include "train/a.h"\n'),
    ("src/model/a.c", '#include "data/a.h"\n'),
    ("src/train/a.c", '#include "tool/a.h"\n'),
    ("src/data/a.c", '#include "device/a.h"\n'),
    ("src/tool/a.c", '#include "util/a.h"\n'),
    ("src/tool/a.c", '#include "not_there_yet.h"\n#include "train/not_there_yet.h"\n'),
    ("src/other/a.c", "\n"),
    ("include/inkling/inkling.h", '#include "util/a.h"\n'),
]
SOUND = [
    ("src/train/a.c", '#include "model/a.h"\n#include "data/a.h"\n#include "train/a.h"\n#include "inkling/inkling.h"\n'),
    ("src/ops/a.c", '#include "util/a.h"\n#include "a.h"\n/* #include "train/a.h" */\n#include <CL/cl.h>\n'),
    ("src/tool/a.c", '#include "a.h"\n#include "inkling/inkling.h"\n#include <stdio.h>\n'),
]


def check_self():
    """Complaints about this check: planted includes it missed and sound ones it refused."""
    wrong = []
    for cases, expected in ((PLANTED, True), (SOUND, False)):
        for path, text in cases:
            with tempfile.TemporaryDirectory() as root:
                for layer in SEES:
                    write(root, "src/%s/a.h" % layer, "")
                write(root, "include/inkling/inkling.h", "")
                write(root, path, text)
                _, complaints = check_house(root)
                if bool(complaints) != expected:
                    wrong.append("self-check: %s with %r gave %r" % (path, text, complaints))
    return wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = check_self()
    files, complaints = check_house(sys.argv[1])
    if files < 5:
        wrong.append("only %d files found below %s" % (files, sys.argv[1]))
    for line in wrong + complaints:
        print(line)
    print("%d files read, %d complaints" % (files, len(wrong + complaints)))
    sys.exit(1 if wrong or complaints else 0)


if __name__ == "__main__":
    main()
