#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# newlib.sh - prints a folder whose librdkafka.so.1 is the current one inside the confluent-kafka wheel, to be put into
# LD_LIBRARY_PATH: what was built against the system's librdkafka runs on it unchanged.
set -euo pipefail

venv=$("$(dirname "${BASH_SOURCE[0]}")/venv.sh")
library=$(find "$venv/lib" -path '*/confluent_kafka.libs/librdkafka-*.so.1' -print -quit)
if [ -z "$library" ]; then
    echo "newlib.sh: no librdkafka in the confluent-kafka wheel in $venv" >&2
    exit 1
fi
folder=$venv/newlib
mkdir -p "$folder"
ln -sfn "$library" "$folder/librdkafka.so.1"
echo "$folder"
