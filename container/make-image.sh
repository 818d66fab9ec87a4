#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make-image.sh [-t TAG]... [TARGET] - builds the container image with whatever engine this machine has (docker when its
# daemon answers, else podman) and tags it; without -t as fragua:VERSION and fragua:latest. TARGET is small (default) or
# slim. Where no registry answers, the base is made from Debian's archive (mkbase.sh) and takes the usual name.
#   ENGINE             docker or podman
#   BASE               base of the build stage (debian:trixie-slim)
#   SOURCE_DATE_EPOCH  time of the files in the image (the last commit's)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
base=${BASE:-debian:trixie-slim}
pull_seconds=120

fail() {
    echo "make-image: $1" >&2
    exit 1
}

tags=
while getopts t: option; do
    case $option in
    t) tags="$tags $OPTARG" ;;
    *) sed -n '3,5s/^# //p' "$0" >&2; exit 64 ;;
    esac
done
shift $((OPTIND - 1))
target=${1:-small}
if [ -z "$tags" ]; then
    version=$(sed -n "s/^ *version: '\([^']*\)'.*/\1/p" "$top/meson.build" | head -n 1)
    suffix=
    [ "$target" = small ] || suffix=-$target
    tags="fragua:$version$suffix fragua:latest$suffix"
fi

engine=$("$here/engine.sh") ||
    fail "needs docker with its daemon running, or podman: scripts/deps.sh image installs podman"
CONTAINERS_CONF=$("$here/engine.sh" conf)
[ -z "$CONTAINERS_CONF" ] || export CONTAINERS_CONF

epoch=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || echo 1750000000)}
export SOURCE_DATE_EPOCH="$epoch"

if ! "$engine" image inspect "$base" >/dev/null 2>&1 &&
    ! timeout "$pull_seconds" "$engine" pull "$base" >/dev/null 2>&1; then
    echo "make-image: no registry gives $base; making it from Debian's archive" >&2
    [ "$(id -u)" = 0 ] || fail "making $base needs root; or load it into $engine by other means first"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    SOURCE_DATE_EPOCH='' "$here/mkbase.sh" "$work/base.tar"
    "$engine" import "$work/base.tar" "$base" >/dev/null
    rm -rf "$work"
    trap - EXIT
fi

set -- --network=host --target "$target" --build-arg "BASE=$base" --build-arg "SOURCE_DATE_EPOCH=$epoch"
for tag in $tags; do
    set -- "$@" -t "$tag"
done
if [ "$engine" = podman ]; then
    # chroot: RUN lines then need neither runc nor cgroups
    set -- --isolation=chroot --format=oci --timestamp "$epoch" --layers "$@"
fi
"$engine" build "$@" "$top"
echo "make-image: built ${tags# } with $engine" >&2
