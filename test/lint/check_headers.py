# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone; the public ones also as C++."""
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tree import Skip

LIBRARIES = ("libuv", "libcurl", "rdkafka", "libssl", "libcrypto", "libcjson", "yaml-0.1", "libxml-2.0")
JOBS = 2


def library_flags():
    found = [name for name in LIBRARIES if subprocess.run(["pkg-config", "--exists", name]).returncode == 0]
    if not found:
        return []
    return subprocess.run(["pkg-config", "--cflags", *found], capture_output=True, text=True, check=True).stdout.split()


def compile_alone(tree, compiler, flags, header, name):
    """What the compiler says of a source that is nothing but `#include "NAME"`; empty if it is content."""
    run = subprocess.run([*compiler, "-fsyntax-only", *flags, "-"], input=f'#include "{name}"\n', text=True,
                         capture_output=True, cwd=tree.root)
    return f"{header}: {run.stderr.strip()}" if run.returncode else ""


def compile_all(tree, compiler, jobs):
    """Problems of a list of (header, include name, flags)."""
    with ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(lambda job: compile_alone(tree, compiler, job[2], job[0], job[1]), jobs)
        return [text for text in results if text]


def c_jobs(tree):
    common = ["-D_GNU_SOURCE", "-Icore/include", *library_flags()]
    jobs = [(path, path.removeprefix("core/").removeprefix("include/"), ["-Icore", *common])
            for path in tree.files(".h", under=("core/",))]
    for path in tree.files(".h", under=("plugins/", "examples/plugins/")):
        jobs.append((path, path, ["-I.", f"-I{path.rpartition('/')[0]}", *common]))
    return jobs


def cxx_compiler():
    """The path of a C++ compiler, or None."""
    return shutil.which("c++") or shutil.which("clang++")


def cases(tree):
    compiler = shutil.which("cc")
    if not compiler:
        raise Skip("no C compiler")
    warnings = ["-Wall", "-Wextra", "-Werror"]
    result = [("every header compiles alone", compile_all(tree, [compiler, "-xc", "-std=gnu17", *warnings],
                                                          c_jobs(tree)))]
    cxx = cxx_compiler()
    name = "the public headers compile as C++"
    if not cxx:
        return result + [(name, Skip("no C++ compiler"))]
    jobs = [(path, path.removeprefix("core/include/"), ["-Icore/include"])
            for path in tree.files(".h", under=("core/include/fragua/",))]
    return result + [(name, compile_all(tree, [cxx, "-xc++", "-std=c++17", *warnings], jobs))]
