"""Writes text files into one C file: a table of names and texts.

Usage: embed.py HEADER TABLE FILE... OUTPUT. TABLE is the table's declaration, which HEADER makes known too. A name is that of the file,
without .txt where it ends so.
"""
import os
import sys


def c_string(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        lines.append('    "%s"' % escaped)
    return "\n".join(lines) or '    ""'


header, table, *inputs, output = sys.argv[1:]
with open(output, "w", encoding="utf-8") as out:
    out.write('#include "%s"\n\n' % header)
    out.write('#ifdef __GNUC__\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n#endif\n\n')
    out.write('%s = {\n' % table)
    for path in inputs:
        with open(path, encoding="utf-8") as source:
            out.write('  {"%s",\n%s},\n' % (os.path.basename(path).removesuffix(".txt"), c_string(source.read())))
    out.write("  {NULL, NULL},\n};\n")
