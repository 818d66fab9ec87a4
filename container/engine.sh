#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# engine.sh - prints the container engine of this machine: docker when its daemon answers, else podman; fails when
# neither. engine.sh conf - prints the value that CONTAINERS_CONF needs here: our containers.conf where podman's
# defaults cannot work (see there), nothing elsewhere.
#   ENGINE  docker or podman, instead of looking
set -eu

if [ "${1:-}" = conf ]; then
    if [ -n "${CONTAINERS_CONF:-}" ]; then
        echo "$CONTAINERS_CONF"
    elif [ "$(id -u)" = 0 ] && { [ -d /sys/fs/cgroup/unified ] || ! (ulimit -n 1048576) 2>/dev/null; }; then
        echo "$(cd "$(dirname "$0")" && pwd)/containers.conf"
    fi
    exit 0
fi
if [ -n "${ENGINE:-}" ]; then
    echo "$ENGINE"
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    echo docker
elif command -v podman >/dev/null; then
    echo podman
else
    exit 1
fi
