"""Writes the OpenCL sources given as arguments into one C file: a table of names and texts (src/device/source.h)."""
import os
import sys


def c_string(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        lines.append('    "%s"' % escaped)
    return "\n".join(lines) or '    ""'


*inputs, output = sys.argv[1:]
with open(output, "w", encoding="utf-8") as out:
    out.write('#include "device/source.h"\n\n')
    out.write('#ifdef __GNUC__\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n#endif\n\n')
    out.write('const struct ink_source ink_embedded_sources[] = {\n')
    for path in inputs:
        with open(path, encoding="utf-8") as source:
            out.write('  {"%s",\n%s},\n' % (os.path.basename(path), c_string(source.read())))
    out.write("  {NULL, NULL},\n};\n")
