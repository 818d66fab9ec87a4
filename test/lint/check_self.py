# SPDX-License-Identifier: Apache-2.0
"""The checks themselves: each must find the fault that is planted for it in a small tree, and nothing in a good one."""
import tempfile
from pathlib import Path

import check_c
import check_headers
import check_layers
import check_metrics
import check_routes
import check_text
import check_ways
from tree import Tree

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
LONG_BODY = "    x();\n" * 70

THREADS = "\n| thread | does |\n|---|---|\n| loop | `f()` |\n| workers (some) | x |\n\n"


def way(*steps):
    """A page's block with the way of these lines."""
    return "```way\n" + "".join(step + "\n" for step in steps) + "```\n"


GOOD = {
    "ARCHITECTURE.md": "| folder | may include |\n|---|---|\n| `core/include/fragua/` | – |\n"
                       "| `core/base/` | `fragua/` |\n| `core/net/` | `fragua/` `core/base/` `<uv.h>` |\n" + THREADS +
                       way("loop net/way.c  f() -> g()  text", "loop sink-x/x.c  => h()"),
    "core/include/fragua/error.h": SPDX + "#pragma once\nint fg_e(void);\n",
    "core/base/buf.h": SPDX + "#pragma once\n#include <stddef.h>\nsize_t fg_buf(void);\n",
    "core/net/http.c": SPDX + '#include "base/buf.h"\n#include <fragua/error.h>\n/* never sprintf( */\n'
                       'static int f(int x_assert)\n{\n    return x_assert; /* "strcpy(" */\n}\n',
    "core/net/metric.c": SPDX + 'struct decl d = {"x_total",\n FG_METRIC_TYPE_COUNTER, "help"};\n',
    "docs/metrics.md": "| metric | type | labels | meaning |\n|---|---|---|---|\n| `x_total` | counter | | x |\n",
    "core/base/README.md": "any thread\n",
    "core/net/README.md": "loop thread\n",
    "core/net/way.c": SPDX + "/* i() */\nvoid g(void);\n\nvoid g(void)\n{\n    later(k);\n    ops->take(1);\n}\n\n"
                             "static void k(int x)\n{\n}\n\nint f(int (*p)(int))\n{\n    g();\n}\n",
    "plugins/sink-x/x.h": SPDX + "#pragma once\n",
    "plugins/http-x/x.c": SPDX + '#define BASE "/v1/a"\nstatic const struct fg_route routes[] = {\n'
                                 '    { "GET", BASE "/{id}", FG_SCOPE_READ, "one", 0 },\n'
                                 '    { "GET", "/v1/a/b", FG_SCOPE_READ, "two", 0 },\n};\n',
    "plugins/http-x/README.md": "| route | scope | does |\n|---|---|---|\n| `GET /v1/a/{id}?x=`, `b` | read | x |\n",
    "plugins/sink-x/x.c": SPDX + '#include <fragua/error.h>\n#include "x.h"\nstatic int h(void)\n{\n}\n'
                                 'static const struct ops o = { .take = h };\n',
}

# (what is wrong, module, file, its contents, a part of the message)
FAULTS = [
    ("an include that points up", check_layers, "core/base/up.c", SPDX + '#include "net/h.h"\n', "is not a header"),
    ("an include of a folder above", check_layers, "core/include/fragua/a.h",
     SPDX + '#pragma once\n#include "base/buf.h"\n', "may not include from `core/base/`"),
    ("a library that a row does not name", check_layers, "core/base/u.c", SPDX + "#include <uv.h>\n", "may not use"),
    ("a folder without a row", check_layers, "core/new/n.c", SPDX, "no row for it"),
    ("a folder that says no thread", check_layers, "core/net/README.md", "# net\n", "does not say on which thread"),
    ("a plugin that includes the core", check_layers, "plugins/sink-x/y.c", SPDX + '#include "base/buf.h"\n',
     "is not in plugins/sink-x/"),
    ("a plugin that includes another", check_layers, "plugins/sink-y/y.c", SPDX + '#include "../sink-x/x.h"\n',
     "is not in plugins/sink-y/"),
    ("a header that needs another", check_headers, "core/base/lone.h", SPDX + "#pragma once\nsize_t f(void);\n",
     "lone.h"),
    ("a public header that C++ refuses", check_headers, "core/include/fragua/c.h",
     SPDX + "#pragma once\nint f(int class);\n", "c.h"),
    ("a banned function", check_c, "core/base/b.c", SPDX + "int f(void)\n{\n    return atoi(s);\n}\n", "atoi()"),
    ("a bare assert", check_c, "core/base/b.c", SPDX + "void f(void)\n{\n    assert (0);\n}\n", "assert()"),
    ("a long function", check_c, "core/base/b.c", SPDX + "void f(void)\n{\n" + LONG_BODY + "}\n", "function of 71"),
    ("a long file", check_c, "core/base/b.c", SPDX + "int x;\n" * 600, "601 lines"),
    ("a long line", check_text, "core/base/b.c", SPDX + "/* " + "x" * 118 + " */\n", "124 characters"),
    ("a tab", check_text, "config/a.yaml", "a:\tb\n", "tab"),
    ("a blank at the end", check_text, "core/base/b.c", SPDX + "int x; \n", "blank at the end"),
    ("a source without a licence", check_text, "core/base/b.c", "int x;\n", "licence line"),
    ("a metric without a row", check_metrics, "core/base/m.c",
     SPDX + 'struct decl d = {.name = "y", .type = FG_METRIC_TYPE_GAUGE};\n', "`y` has no row"),
    ("a plugin's metric without a row", check_metrics, "plugins/sink-x/m.c",
     SPDX + 'int f(void)\n{\n    h->svc->metric(h, FG_METRIC_GAUGE, "z", "help");\n}\n', "`fragua_plugin_z` has no"),
    ("a row without a metric", check_metrics, "core/net/metric.c", SPDX, "nothing declares `x_total`"),
    ("a metric of another type", check_metrics, "core/net/metric.c",
     SPDX + 'struct decl d = {"x_total", FG_METRIC_TYPE_GAUGE, "help"};\n', "is called a counter"),
    ("a metric that two files declare", check_metrics, "core/base/m.c",
     SPDX + 'struct decl d = {"x_total", FG_METRIC_TYPE_COUNTER, "help"};\n', "is declared in core/base/m.c too"),
    ("a route without a row", check_routes, "plugins/http-x/README.md", "# none\n",
     "no row for the route `GET /v1/a/b`"),
    ("a row without a route", check_routes, "plugins/http-x/x.c", SPDX, "`GET /v1/a/{id}` is no route"),
    ("a route of another scope", check_routes, "plugins/http-x/README.md",
     GOOD["plugins/http-x/README.md"].replace("| read |", "| control |"), "is called control, and is read"),
    ("a way through a function that is not there", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  f() -> gone()"), "defines no function gone()"),
    ("a way through one that is only mentioned", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  later()"), "defines no function later()"),
    ("a way through a file that is not there", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/no.c  f()"), "there is no core/net/no.c"),
    ("an arrow without a call", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  f() -> k()"), "does not call k()"),
    ("an arrow without a call on another line", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  k()", "loop net/way.c  -> g()"), "does not call g()"),
    ("a call by a pointer that nobody has", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  k() => f()"), "does not come to f()"),
    ("a table that the caller does not use", check_ways, "core/net/way.c",
     GOOD["core/net/way.c"].replace("ops->take(1)", "ops->other(1)"), "does not come to h()"),
    ("a call that is gone from the source", check_ways, "core/net/way.c",
     GOOD["core/net/way.c"].replace("    g();\n", "    /* g() */\n"), "does not call g()"),
    ("a plain call to another thread", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  f()", "worker net/way.c  -> g()"), "leaves the thread"),
    ("a thread that the table lacks", check_ways, "ARCHITECTURE.md",
     THREADS + way("lane net/way.c  f()"), '"lane" is no thread'),
    ("a way that cannot be read", check_ways, "ARCHITECTURE.md",
     THREADS + way("loop net/way.c  f() - g()"), "not of the form"),
    ("a page that speaks of a function that is not there", check_ways, "ARCHITECTURE.md",
     THREADS + "`gone()`\n" + way("loop net/way.c  f()  as `lost()`"), "no function lost()"),
    ("an unfinished mark", check_text, "README.md", "TO" "DO: more\n", "finish it"),
]


def run(module, files):
    """All problems that a check finds in a tree of the files given."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        results = module.cases(Tree(folder))
    return [problem for _, problems in results if isinstance(problems, list) for problem in problems]


def can_be_found(what):
    """Without a C++ compiler (`make check` installs none) check_headers says that it skips; nothing can be planted."""
    return "C++" not in what or check_headers.cxx_compiler()


def cases(_):
    missed = []
    for what, module, path, text, part in filter(lambda fault: can_be_found(fault[0]), FAULTS):
        problems = run(module, {**GOOD, path: text})
        if not any(part in problem for problem in problems):
            missed.append(f"{module.__name__} did not find {what}; it said {problems}")
    modules = (check_layers, check_headers, check_c, check_text, check_metrics, check_routes, check_ways)
    false_alarms = [f"{module.__name__}: {problem}" for module in modules for problem in run(module, GOOD)]
    return [("the checks find what is planted", missed), ("the checks find nothing in a good tree", false_alarms)]
