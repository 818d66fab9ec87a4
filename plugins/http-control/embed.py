# SPDX-License-Identifier: Apache-2.0
"""embed.py OUT FILE... - writes each file as a C array asset_NAME_EXT, so that the plugin is one file."""
import pathlib
import sys

out, *files = map(pathlib.Path, sys.argv[1:])
text = "/* SPDX-License-Identifier: Apache-2.0 */\n/* The page's files as arrays. Made by embed.py. */\n"
text += '#include "assets.h"\n'
for file in files:
    name = file.name.replace(".", "_").replace("-", "_")
    text += f"\nconst unsigned char asset_{name}[] = {{\n"
    data = file.read_bytes()
    for at in range(0, len(data), 20):
        text += "    " + " ".join(f"{byte}," for byte in data[at:at + 20]) + "\n"
    text += "};\n" + f"const size_t asset_{name}_size = sizeof(asset_{name});\n"
out.write_text(text)
