# SPDX-License-Identifier: Apache-2.0
"""What the built program says of itself equals what the documents say: options, and the example configurations."""
import json
import os
import re
import subprocess

from tree import Skip, code_spans, table_rows

TIMEOUT_S = 30


def plugin_path(tree):
    """The folders of all plugins of the build, as FRAGUA_PLUGIN_PATH wants them."""
    return ":".join(sorted({str(path.parent) for path in (tree.build / "plugins").glob("*/*.so")}))


def program(tree):
    """The path of the built program; Skip where there is none."""
    for path in (tree.build / "fragua", tree.build / "core" / "fragua"):
        if os.access(path, os.X_OK) and path.is_file():
            return path
    raise Skip(f"no program in {tree.build}; build it first")


def call(tree, *words):
    env = {**os.environ, "FRAGUA_PLUGIN_PATH": plugin_path(tree)}
    return subprocess.run([program(tree), *words], cwd=tree.root, env=env, capture_output=True, text=True,
                          timeout=TIMEOUT_S)


def option_keys(options, prefix=""):
    """Dotted keys of a list of options; those of a group stand below the group's own key."""
    for option in options:
        key = prefix + option["key"]
        yield key
        yield from option_keys(option.get("members") or option.get("options") or [], key + ".")


def documented_keys(tree, path):
    """Keys in the first column of the option tables of a README: tables headed `option` or `key`."""
    return {span for cells in table_rows(tree.text(path), "option", "key") for span in code_spans(cells[0])}


def compare_options(tree, plugin):
    readme = f"plugins/{plugin}/README.md"
    if readme not in tree.paths:
        return [f"{readme} is missing"]
    answer = call(tree, "plugins", plugin, "--format", "json")
    if answer.returncode:
        return [f"`fragua plugins {plugin} --format json` exits {answer.returncode}: {answer.stderr.strip()}"]
    described = json.loads(answer.stdout)
    if isinstance(described, list):
        described = described[0]
    known, documented = set(option_keys(described["options"])), documented_keys(tree, readme)
    return ([f"{readme}: no row for the option `{key}`" for key in sorted(known - documented)]
            + [f"{readme}: `{key}` is no option of {plugin}" for key in sorted(documented - known)])


def validate(tree, path):
    answer = call(tree, "validate", path)
    if answer.returncode == 0:
        return []
    return [f"{path}: exit {answer.returncode}: {(answer.stderr + answer.stdout).strip()}"]


COMMANDS = "docs/commands.md"
OPTION = re.compile(r"^  (?:-(\w), |    )--([a-z-]+)(?: (\S+))? ", re.MULTILINE)


def helped_options(tree, *words):
    """The options in a command's own help: its own, and those of every command; each as docs/commands.md writes it."""
    own, _, common = call(tree, *words, "--help").stdout.partition("\noptions of every command:\n")
    return [{(f"-{letter}, " if letter else "") + f"--{name}" + (f" {value}" if value else "")
             for letter, name, value in OPTION.findall(text)} for text in (own, common)]


def documented_options(section):
    return {", ".join(code_spans(cells[0])).replace("\\|", "|") for cells in table_rows(section, "option")}


def compare_commands(tree):
    """Each command has a section of its own with a table of its options."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", tree.text(COMMANDS), re.MULTILINE | re.DOTALL))
    commands = re.findall(r"^  ([a-z]+) ", call(tree, "--help").stdout.partition("\noptions of")[0], re.MULTILINE)
    wanted = {f"`fragua {command}`": helped_options(tree, command)[0] for command in commands}
    wanted["Every command"] = helped_options(tree, commands[0])[1]
    problems = [f"{COMMANDS}: \"{title}\" is no command" for title in sections if title not in wanted]
    for title, options in wanted.items():
        found = documented_options(sections.get(title, ""))
        problems += [f"{COMMANDS}: {title}: no row for `{option}`" for option in sorted(options - found)]
        problems += [f"{COMMANDS}: {title}: `{option}` is no option" for option in sorted(found - options)]
    return problems


REFERENCE = "docs/configuration.md"


def compare_reference(tree):
    """The tables of the file's own keys stand at the end of the page as the program prints them."""
    answer = call(tree, "schema", "--format", "markdown")
    if answer.returncode:
        return [f"`fragua schema --format markdown` exits {answer.returncode}: {answer.stderr.strip()}"]
    if not answer.stdout.startswith("## ") or not tree.text(REFERENCE).endswith("\n" + answer.stdout):
        return [f"{REFERENCE} does not end with what `fragua schema --format markdown` prints"]
    return []


def cases(tree):
    plugins = sorted({path.split("/")[1] for path in tree.files(".c", under=("plugins/",))})
    configs = [path for path in tree.files(".yaml", under=("config/",)) if not path.endswith(".test.yaml")]
    configs += [path for path in tree.paths if path.startswith("plugins/") and path.endswith("/example.yaml")]
    built = {path.stem for path in (tree.build / "plugins").glob("*/*.so")}
    try:
        program(tree)
    except Skip as reason:
        return [("options in README.md equal those of the program", reason), ("example configurations hold", reason)]
    result = [(f"{REFERENCE} equals the program's tables", compare_reference(tree)),
              (f"{COMMANDS} equals the program's help", compare_commands(tree))]
    for plugin in plugins:
        name = f"options of {plugin} equal those in its README.md"
        result.append((name, compare_options(tree, plugin) if plugin in built else Skip(f"{plugin} is not built")))
    return result + [(f"{path} is valid", validate(tree, path)) for path in configs]
