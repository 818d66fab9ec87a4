#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deps.sh SET... - makes sure that what each SET needs is installed; does nothing, and quickly, when it is.
#   build  to compile and run fragua (make, make demo)     test   the tests
#   bench  what it is measured with                        image  to build and try the container image
# On Debian (12 and 13) it installs by apt, as root or by sudo. Elsewhere it names what is missing and exits 1.
set -euo pipefail

# One line a need: "a|b" is satisfied by any of them, and the first that this Debian has is installed.
packages() {
    case $1 in
    build)
        echo gcc libc6-dev meson ninja-build 'pkgconf|pkg-config' python3 ca-certificates
        echo librdkafka-dev libuv1-dev libcurl4-openssl-dev libssl-dev libyaml-dev libcjson-dev libxml2-dev
        echo 'libllhttp-dev|libhttp-parser-dev' libcmocka-dev
        ;;
    test)
        echo clang clang-tidy 'libclang-rt-dev|libclang-rt-14-dev|libclang-rt-19-dev' kcat curl openssl git
        echo 'default-jre-headless|openjdk-17-jre-headless|openjdk-21-jre-headless|openjdk-25-jre-headless'
        # golang-go builds helm and kubectl-validate, see test/chart/tools.sh
        echo maven python3-venv util-linux golang-go
        ;;
    bench) echo wrk 'nginx-light|nginx' hyperfine curl ;;
    image) echo podman buildah runc crun mmdebstrap fakeroot ;;
    *)
        echo "deps.sh: no set \"$1\"; there are build, test, bench, image" >&2
        exit 64
        ;;
    esac
}

# For systems without apt: names as pkg-config, the linker or PATH know them.
libraries='rdkafka libuv libcurl libssl libcrypto yaml-0.1 libcjson libxml-2.0 cmocka'
programs_build='gcc meson ninja pkg-config python3'
programs_test='clang clang-tidy kcat curl openssl git java mvn go'
programs_bench='wrk nginx hyperfine'
programs_image='podman buildah'

without_apt() { # SET...
    local name set list missing=()
    for set in "$@"; do
        list=programs_$set
        for name in ${!list}; do
            command -v "$name" >/dev/null || missing+=("$name")
        done
        [ "$set" = build ] || continue
        for name in $libraries; do
            pkg-config --exists "$name" 2>/dev/null || missing+=("$name (pkg-config)")
        done
        if ! pkg-config --exists libllhttp 2>/dev/null && [ ! -e /usr/include/llhttp.h ] &&
            [ ! -e /usr/include/http_parser.h ]; then
            missing+=('llhttp or http_parser')
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "deps.sh: this system has no apt; please install what is missing:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    return 1
}

installed() { # PACKAGE
    [[ $present == *" $1 "* ]]
}

known() { # PACKAGE: apt has a version of it to install
    # Not grep -q: it leaves early, and the broken pipe would count as "not known" under pipefail.
    apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null
}

choose() { # NEED, like "a|b": adds nothing to `wanted` where one of them is there
    local option
    for option in ${1//|/ }; do
        ! installed "$option" || return 0
    done
    for option in ${1//|/ }; do
        if known "$option"; then
            wanted+=("$option")
            return 0
        fi
    done
    unknown+=("$1")
}

find_wanted() {
    local need
    wanted=() unknown=()
    for need in $needs; do
        choose "$need"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "deps.sh: not root and no sudo; run as root: $*" >&2
        return 1
    fi
}

[ $# -gt 0 ] || { sed -n '3,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }
needs=
for set in "$@"; do
    needs+=" $(packages "$set")"
done
if ! command -v apt-get >/dev/null; then
    without_apt "$@"
    exit
fi

present=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | tr '\n' ' ') "
find_wanted
[ ${#wanted[@]} -gt 0 ] || [ ${#unknown[@]} -gt 0 ] || exit 0

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
if [ ${#unknown[@]} -gt 0 ] || ! as_root "${install[@]}" "${wanted[@]}"; then
    # A fresh machine has no package lists, an old one has lists of versions that are gone.
    as_root apt-get update -q
    find_wanted
    if [ ${#unknown[@]} -gt 0 ]; then
        echo "deps.sh: this Debian has none of: ${unknown[*]}" >&2
        exit 1
    fi
    as_root "${install[@]}" "${wanted[@]}"
fi
