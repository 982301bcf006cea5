"""Installs the build into a temporary DESTDIR and uses it as a stranger would: through pkg-config and the compiler.

Usage: check_install.py BUILD_FOLDER VERSION COMPILER... A small C program is compiled and run against the shared and
then the static library, the header and data files are looked for, and the installed tool has to start, if it was
built. Exit status 77 (skipped) where Meson's modules or pkg-config are out of reach.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = """\
#include <inkling/inkling.h>
#include <stdio.h>

int main(void)
{
    printf("%s, %s\\n", ink_version(), ink_status_text(INK_ERROR_SHAPE));
    return ink_last_error()[0] != 0;
}
"""


def output_of(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False,
                          **more)
    if done.returncode != 0:
        sys.exit("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
    return done.stdout.strip()


def find(root, name):
    for folder, _, names in os.walk(root):
        if name in names:
            return os.path.join(folder, name)
    return sys.exit("%s was not installed" % name)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    build, version, *compiler = sys.argv[1:]
    pkg_config = shutil.which("pkg-config") or shutil.which("pkgconf")
    meson = [sys.executable, "-m", "mesonbuild.mesonmain"]
    if not pkg_config or subprocess.run(meson + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        check=False).returncode:
        print("pkg-config or Meson's modules are out of reach")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as root:
        output_of(meson + ["install", "-C", build, "--no-rebuild", "--destdir", root])
        static = find(root, "libinkling.a")
        libraries = os.path.dirname(static)
        find(root, "inkling.h")
        for name in ("train", "t10k"):
            for kind in ("images-idx3", "labels-idx1"):
                data = find(root, "%s-%s-ubyte.gz" % (name, kind))
                assert data.endswith("/inkling/mnist/" + os.path.basename(data)), data

        environment = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=root, LD_LIBRARY_PATH=libraries)
        environment["PKG_CONFIG_PATH"] = os.path.dirname(find(root, "inkling.pc"))
        source = os.path.join(root, "program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(PROGRAM)

        def flags(*which):
            return output_of([pkg_config, *which, "inkling"], env=environment).split()

        assert flags("--modversion") == [version], flags("--modversion")
        shared_flags = flags("--cflags", "--libs")
        static_flags = [static if flag == "-linkling" else flag for flag in flags("--static", "--cflags", "--libs")]
        for name, arguments in (("shared", shared_flags), ("static", static_flags)):
            program = os.path.join(root, name)
            output_of(compiler + [source, "-o", program] + arguments, env=environment)
            printed = output_of([program], env=environment)
            print("%s: %s" % (name, printed))
            assert printed == version + ", shape mismatch", printed
        linked = subprocess.run(["nm", "-D", os.path.join(root, "static")], stdout=subprocess.PIPE, universal_newlines=True,
                                check=False).stdout
        assert not re.search(r" U ink_", linked), "the static program still asks for a shared library"

        tool = shutil.which("inkling", path=os.path.join(os.path.dirname(libraries), "bin")) or shutil.which(
            "inkling", path=os.path.normpath(os.path.join(libraries, "..", "..", "bin")))
        if tool:
            printed = output_of([tool, "--version"], env=environment)
            print("tool: %s" % printed)
            assert version in printed, printed


if __name__ == "__main__":
    main()
