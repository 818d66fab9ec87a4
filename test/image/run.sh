#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [IMAGE] - builds the small container image (or takes IMAGE), looks at what is in it, and runs the demo in
# it as a strict pod would: as 65532, read-only without any writable folder, no capability, no network, little
# memory. Prints "ok N - name" or "not ok N - name" for each check; the last line says how many passed. Where no
# container can be run at all, all is skipped, with the reason.
#   KEEP=1  leaves the image that was built
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
size_max=$((60 * 1000 * 1000))
memory=256m
demo_seconds=60
stop_seconds=20
work=$(mktemp -d "${TMPDIR:-/tmp}/fragua-image.XXXXXX")
passed=0 failed=0 skipped=0
image=${1:-}
built=
watched=fragua-test-$$

# The stage with the compiler stays, under a name of its own: the next build starts from it.
clean() {
    [ -z "${engine:-}" ] || "$engine" rm -f "$watched" >/dev/null 2>&1
    if [ -n "$built" ] && [ -z "${KEEP:-}" ]; then
        "$top/container/make-image.sh" -t fragua-tools:latest tools >/dev/null 2>&1
        "$engine" rmi -f "$built" >/dev/null 2>&1
        "$engine" image prune -f --filter label=fragua.stage=build >/dev/null 2>&1
    fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

report() { # CODE NAME [OUTPUT]
    local number=$((passed + failed + skipped + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
        passed=$((passed + 1))
    else
        echo "not ok $number - $2"
        [ -z "${3:-}" ] || sed 's/^/# /' <<<"$3"
        failed=$((failed + 1))
    fi
}

finish() {
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    exit $((failed > 0))
}

skip_all() { # REASON
    echo "ok 1 - the container image # skip $1"
    skipped=1
    finish
}

check() { # NAME COMMAND...: passes when COMMAND does
    local name=$1 output
    shift
    output=$("$@" 2>&1)
    report $? "$name" "$output"
}

# What a pod with the restricted security context has. podman alone adds writable folders to a read-only container.
strict() { # IMAGE ARGUMENTS...
    timeout -k 5 "$demo_seconds" "$engine" run --rm --read-only "${engine_options[@]}" --cap-drop=all \
        --security-opt=no-new-privileges --user 65532:65532 --network=none --memory "$memory" "$@"
}

# --- an engine that runs anything
engine=$("$top/container/engine.sh")
if [ -z "$engine" ]; then
    "$top/scripts/deps.sh" image >"$work/deps" 2>&1
    engine=$("$top/container/engine.sh") || skip_all "neither docker nor podman is here: $(tail -n 1 "$work/deps")"
fi
conf=$("$top/container/engine.sh" conf)
[ -z "$conf" ] || export CONTAINERS_CONF=$conf
engine_options=()
[ "$engine" != podman ] || engine_options=(--read-only-tmpfs=false)

# A file system with one static program is enough to know whether containers run here; made without any network.
can_run() {
    printf 'int main(void) { return 0; }\n' >"$work/true.c"
    gcc -static -o "$work/true" "$work/true.c" && tar -C "$work" -cf "$work/true.tar" true || return 1
    "$engine" import "$work/true.tar" fragua-probe:latest >/dev/null && strict fragua-probe:latest /true
    local code=$?
    "$engine" rmi -f fragua-probe:latest >/dev/null 2>&1
    return $code
}
can_run >"$work/probe" 2>&1 || skip_all "$engine cannot run a container here: $(tail -n 1 "$work/probe")"

# --- build
if [ -z "$image" ]; then
    image=fragua:test-$$
    began=$SECONDS
    "$top/container/make-image.sh" -t "$image" small >"$work/build" 2>&1
    code=$?
    report $code 'the image builds' "$(tail -n 30 "$work/build")"
    [ $code = 0 ] || finish
    built=$image
    echo "# built in $((SECONDS - began)) s"
    warnings=$(grep -E '(warning|WARNING):' "$work/build")
    report $((${#warnings} > 0)) 'the build warns of nothing' "$warnings"
fi

# --- what is in it
container=$("$engine" create "$image" --help) || { report 1 'a container can be made'; finish; }
"$engine" export "$container" >"$work/image.tar"
"$engine" rm "$container" >/dev/null
tar -tvf "$work/image.tar" >"$work/list"
has_file() { # PATTERN of a path without leading slash
    grep -qE "^[-l].* \.?/?$1( ->.*)?$" "$work/list" || { echo "no file matches $1"; return 1; }
}
has_no_file() {
    ! grep -E "^[-l].* \.?/?($1)( ->.*)?$" "$work/list"
}
small_enough() {
    local bytes
    bytes=$("$engine" image inspect --format '{{.Size}}' "$image")
    echo "$bytes bytes, at most $size_max"
    [ "$bytes" -lt "$size_max" ]
}
declares() { # FORMAT TEXT
    local value
    value=$("$engine" image inspect --format "$1" "$image")
    [ "$value" = "$2" ] || { echo "it is \"$value\", not \"$2\""; return 1; }
}
no_privileged_file() {
    ! grep -E '^-(..[sS]|.....[sS])' "$work/list"
}
no_foreign_writable() {
    ! grep -E '^[-d].......w' "$work/list" | grep -vE '^d.* \.?/?(tmp|dev/[a-z]*|proc|sys)/?$'
}
check "it is smaller than $((size_max / 1000000)) MB" small_enough
echo "# $("$engine" image inspect --format '{{.Size}}' "$image") bytes"
check 'no file is setuid or setgid' no_privileged_file
check 'nothing but /tmp is writable by all' no_foreign_writable
check 'it has no shell' has_no_file '(.*/)?(sh|bash|dash|ash|busybox)'
check 'it has no package manager' has_no_file '(.*/)?(apt|apt-get|dpkg|rpm|apk|perl|python3[.0-9]*)'
check 'it has no compiler, header or static library' has_no_file '(.*/)?(gcc|cc|ld)|usr/include/.*|.*\.a'
check 'the program is there' has_file 'usr/bin/fragua'
plugins='http-control serve-entities sim-graph sink-nlp source-graphmail transform-tabulate'
for plugin in $plugins; do
    check "plugin $plugin is there" has_file "usr/lib/[^/]*/fragua/plugins/$plugin\\.so"
done
check 'sample mails for the demo are there' has_file 'usr/share/fragua/demo/.*'
check 'schemas of records are there' has_file 'usr/share/fragua/schemas/.*\.json'
check 'the CA roots are there' has_file 'etc/ssl/certs/ca-certificates.crt'
check 'charset modules are there' has_file 'usr/lib/[^/]*/gconv/ISO8859-2\.so'
check 'its licence is there' has_file 'usr/share/doc/fragua/copyright'
check 'licences of what it holds are there' has_file 'usr/share/doc/librdkafka1/copyright'
check 'package records for scanners are there' has_file 'var/lib/dpkg/status.d/librdkafka1'
check 'it runs as 65532' declares '{{.Config.User}}' 65532:65532
check 'it starts the program' declares '{{json .Config.Entrypoint}}' '["/usr/bin/fragua"]'
check 'it shows the help when told nothing' declares '{{json .Config.Cmd}}' '["--help"]'

# --- what it does
check '--version answers' strict "$image" --version
check 'the help answers' strict "$image"
strict "$image" plugins >"$work/plugins" 2>&1
report $? 'plugins are listed' "$(cat "$work/plugins")"
for plugin in $plugins; do
    check "plugin $plugin loads" grep -qE "^$plugin +[a-z]+ +[0-9]" "$work/plugins"
done

began=$(date +%s%N)
strict "$image" demo >"$work/out" 2>"$work/err" </dev/null
code=$?
took=$((($(date +%s%N) - began) / 1000000))
tails() {
    echo "exit $code after $took ms"
    tail -n 20 "$work/out" "$work/err"
}
report $((code != 0)) 'the demo ends by itself, in a confined container' "$(tails)"
grep -qE '[0-9]+ mails? .*[0-9]+ documents? .*[0-9]+ entities' "$work/out" "$work/err"
report $? 'the demo says how many mails became how many documents and entities' "$(tails)"
grep -hE '[0-9]+ mails? .*[0-9]+ documents? .*[0-9]+ entities' "$work/out" "$work/err" | tail -n 1 | sed 's/^/# /'
grep -hE '[1-9][0-9]* mails? .*[1-9][0-9]* documents? .*[1-9][0-9]* entities' "$work/out" "$work/err" >/dev/null
report $? 'none of them is zero' "$(tails)"

# As process 1 a program gets no signal that it does not ask for: what Kubernetes sends must still end it.
runs() {
    local deadline=$((SECONDS + demo_seconds))
    until "$engine" logs "$watched" 2>&1 | grep -q 'fragua demo: http'; do
        [ $SECONDS -lt $deadline ] || { "$engine" logs "$watched"; return 1; }
        sleep 0.1
    done
}
stops() {
    local code
    runs && timeout -k 5 $((stop_seconds * 2)) "$engine" stop -t "$stop_seconds" "$watched" >/dev/null || return 1
    code=$("$engine" inspect --format '{{.State.ExitCode}}' "$watched")
    echo "exit $code"
    [ "$code" = 0 ]
}
timeout -k 5 "$demo_seconds" "$engine" run -d --name "$watched" --read-only "${engine_options[@]}" --cap-drop=all \
    --security-opt=no-new-privileges --network=none --memory "$memory" "$image" demo --for 600 >/dev/null 2>"$work/err"
report $? 'it runs without being watched' "$(cat "$work/err")"
check 'SIGTERM ends it in good order' stops
finish
