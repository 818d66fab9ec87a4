#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools.sh - makes sure that helm and kubectl-validate are in the cache folder, and prints that folder. Building them
# needs Go 1.21 or newer and takes some minutes of processor time, once. Exits 69 where there is no such Go.
set -euo pipefail

bin=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fragua/bin
go_minor_min=21
# A helm that is not told takes Kubernetes 1.20 for the cluster, and the chart asks for 1.30.
helm_flags='-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=33'

go_is_new_enough() {
    local version
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
    [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge "$go_minor_min" ]
}

build() { # NAME PACKAGE@VERSION LDFLAGS
    [ ! -x "$bin/$1" ] || return 0
    if ! go_is_new_enough; then
        echo "tools.sh: $1 is not in $bin, and there is no Go 1.$go_minor_min or newer to build it" >&2
        exit 69
    fi
    echo "tools.sh: building $2, once, for some minutes" >&2
    # Built beside its place and moved in, so that a build that was cut off leaves nothing half-made.
    mkdir -p "$bin/.new"
    CGO_ENABLED=0 GOBIN=$bin/.new GOFLAGS='' nice -n 5 go install -p 2 -trimpath -ldflags "-s -w $3" "$2" >&2
    mv "$bin/.new/$1" "$bin/$1"
}

mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9
build helm helm.sh/helm/v3/cmd/helm@v3.18.4 "$helm_flags"
build kubectl-validate sigs.k8s.io/kubectl-validate@v0.0.4 ''
rmdir "$bin/.new" 2>/dev/null || true
echo "$bin"
