#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mkbase.sh OUT.tar - makes what debian:trixie-slim holds from Debian's package archive, for machines that reach no
# image registry. Needs root and mmdebstrap. Same archive state and SOURCE_DATE_EPOCH: same bytes.
#   SUITE   Debian release (trixie)
#   MIRROR  address of the archive (the one that this machine itself installs from)
set -eu

out=${1:?usage: mkbase.sh OUT.tar}
suite=${SUITE:-trixie}
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1750000000}"

# The first archive in either of apt's two formats.
host_mirror() {
    sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null
    sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null
}
mirror=${MIRROR:-$(host_mirror | grep '/debian/*$' | head -n 1)}
mirror=${mirror%/}
[ -n "$mirror" ] || {
    echo "mkbase: no Debian archive in apt's sources; set MIRROR to the address of one" >&2
    exit 1
}

command -v mmdebstrap >/dev/null || {
    echo "mkbase: mmdebstrap is not installed; scripts/deps.sh image installs it" >&2
    exit 1
}

# What Debian's own slim images leave out; licences stay.
set --
for path in doc groff info linda lintian locale man; do
    set -- "$@" --dpkgopt="path-exclude=/usr/share/$path/*"
done
set -- "$@" --dpkgopt='path-include=/usr/share/doc/*/copyright'

# apt's binary caches are 87 MB and never the same twice.
keep_small='"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"'
mmdebstrap --quiet --mode=root --variant=apt --components=main "$@" \
    --aptopt='Acquire::Languages "none"' \
    --aptopt='Dir::Cache::pkgcache ""' \
    --aptopt='Dir::Cache::srcpkgcache ""' \
    --customize-hook="printf '%s\n' 'DPkg::Post-Invoke { $keep_small; };' >\"\$1/etc/apt/apt.conf.d/docker-clean\"" \
    --customize-hook='rm -rf "$1/etc/resolv.conf" "$1/etc/hostname" "$1"/var/log/* "$1"/var/lib/apt/lists/*' \
    --customize-hook='rm -f "$1/var/cache/ldconfig/aux-cache"; : >"$1/etc/machine-id"' \
    "$suite" "$out" \
    "deb $mirror $suite main" \
    "deb $mirror $suite-updates main" \
    "deb ${mirror%/debian}/debian-security $suite-security main"
