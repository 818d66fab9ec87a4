#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools.sh - makes sure that helm and kubectl-validate are in the cache folder, and prints that folder. Building them
# takes some minutes of processor time, once. Needs any Go, such as Debian's golang-go: one that is too old fetches a
# newer one, which is published as a module. Exits 69 where there is no Go.
set -euo pipefail

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fragua
bin=$cache/bin
# From 1.21 on, Go gets by itself the version that a module asks for.
go_minor_min=21
newer_go=1.24.4
# A helm that is not told takes Kubernetes 1.20 for the cluster, and the chart asks for 1.30.
helm_flags='-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33'

is_new_enough() { # GO
    [[ $(GOTOOLCHAIN=local "$1" env GOVERSION) =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge "$go_minor_min" ]
}

# Old Go's own module client fetches the new one, and checks it against the checksum database. A module's files have no
# permissions, so programs are made executable.
fetch_go() { # OLD_GO
    local version work
    version=v0.0.1-go$newer_go.linux-$("$1" env GOARCH)
    work=$(mktemp -d)
    (cd "$work" && GOFLAGS=-modcacherw GOMODCACHE=$work "$1" mod download "golang.org/toolchain@$version") >&2
    chmod -R a+x "$work/golang.org/toolchain@$version"/{bin,pkg/tool}
    rm -rf "$cache/go"
    mv "$work/golang.org/toolchain@$version" "$cache/go"
    rm -rf "$work"
}

find_go() { # prints a Go that is new enough
    local go
    go=$(command -v go) || {
        echo "tools.sh: no Go to build helm and kubectl-validate with (Debian: golang-go)" >&2
        exit 69
    }
    if is_new_enough "$go"; then
        echo "$go"
        return
    fi
    [ -x "$cache/go/bin/go" ] || fetch_go "$go"
    echo "$cache/go/bin/go"
}

build() { # NAME PACKAGE@VERSION LDFLAGS
    [ ! -x "$bin/$1" ] || return 0
    local go
    go=$(find_go) || exit
    echo "tools.sh: building $2, once, for some minutes" >&2
    # Built beside its place and moved in, so that a build that was cut off leaves nothing half-made.
    mkdir -p "$bin/.new"
    env -u GOROOT CGO_ENABLED=0 GOFLAGS='' GOBIN="$bin/.new" \
        nice -n 5 "$go" install -p 2 -trimpath -ldflags "-s -w $3" "$2" >&2
    mv "$bin/.new/$1" "$bin/$1"
}

mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9
build helm helm.sh/helm/v3/cmd/helm@v3.18.4 "$helm_flags"
build kubectl-validate sigs.k8s.io/kubectl-validate@v0.0.4 ''
rmdir "$bin/.new" 2>/dev/null || true
echo "$bin"
