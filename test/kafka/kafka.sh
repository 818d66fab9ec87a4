#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Apache Kafka (KRaft, each node broker and controller in one) for tests. Needs Java 17+, Maven, OpenSSL, Python 3.
#   kafka.sh get                 fetch the jars into the cache folder, if they are not there; print where they are
#   kafka.sh start DIR [NODES]   make certificates and storage in DIR (where new), start 1 or 3 nodes, wait until ready
#   kafka.sh stop DIR            end all nodes in good order; SIGKILL after 30 s
#   kafka.sh status DIR          one line a node; exit 1 when one is down
#   kafka.sh kill DIR NODE       SIGKILL one node (0, 1, 2) and wait until it is gone
#   kafka.sh up DIR NODE         start one ended node again, with its data, wait until ready
# A started bed is described by DIR/env, which a shell can source:
#   FRAGUA_KAFKA_DIR FRAGUA_KAFKA_NODES            DIR as an absolute path; how many nodes
#   FRAGUA_KAFKA_PLAIN _SSL _SASL_SSL              bootstrap lists: plain text; mutual TLS; TLS with SASL PLAIN or SCRAM
#   FRAGUA_KAFKA_DETOUR _DETOUR_TO                 plain text by way of proxies that a test puts up: they listen at the
#                                                  addresses of the first list, and lead to those of the second
#   FRAGUA_KAFKA_USER _PASSWORD                    for SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512)
#   FRAGUA_KAFKA_TLS                               the folder that certs.sh describes
# From the environment: HEAP (512m) for each node; TIER, how far Java compiles (1); XDG_CACHE_HOME; FRAGUA_KAFKA_EXTRA,
# more lines for server.properties; FRAGUA_KAFKA_OWNER, a process with which the nodes end, even if it is killed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fragua
heap=${HEAP:-512m}
user=fragua
password=forge-and-anvil
each=6 # ports of a node: plain text, mutual TLS, SASL, control, the detour's listener, where the detour is to begin
start_timeout_s=120
stop_timeout_s=30

die() {
    echo "kafka.sh: $*" >&2
    exit 1
}

# A process that ended but was not yet waited for still has a pid: only /proc tells that it is a zombie.
running() { # NODE-FOLDER
    local state
    [ -s "$1/pid" ] && state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$(<"$1/pid")/status" 2>/dev/null) &&
        [ -n "$state" ] && [ "${state:0:1}" != Z ] && [ "${state:0:1}" != X ]
}

jars() { # prints the folder; the name holds the pom's sum, so that a changed version is fetched anew
    local lib
    lib=$cache/kafka-$(sha256sum <"$here/pom.xml" | cut -c1-12)
    if [ ! -e "$lib/complete" ]; then
        mkdir -p "$cache"
        local part
        part=$(mktemp -d "$cache/fetch.XXXXXX")
        mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
            -DoutputDirectory="$part" >&2 || die "Maven could not fetch the jars that $here/pom.xml names"
        touch "$part/complete"
        # Two runs may fetch at the same time: the first to arrive wins, the other's copy is the same and goes.
        mv -T "$part" "$lib" 2>/dev/null || rm -rf "$part"
    fi
    echo "$lib"
}

# Addresses, not names: where "localhost" is ::1 first, each client would first be refused there.
addresses() { # OFFSET of the listener within a node's ports
    local node list=
    for ((node = 0; node < nodes; node++)); do
        list+=${list:+,}127.0.0.1:${ports[node * each + $1]}
    done
    echo "$list"
}

voters() {
    local node list=
    for ((node = 0; node < nodes; node++)); do
        list+=${list:+,}$node@127.0.0.1:${ports[node * each + 3]}
    done
    echo "$list"
}

properties() { # NODE
    local at=$(($1 * each)) copies=1 in_sync=1
    if [ "$nodes" -ge 3 ]; then
        copies=3 in_sync=2
    fi
    local host=127.0.0.1
    local listeners="PLAIN://$host:${ports[at]},MTLS://$host:${ports[at + 1]},SASL://$host:${ports[at + 2]}"
    cat <<END
node.id=$1
process.roles=broker,controller
controller.quorum.voters=$(voters)
controller.listener.names=CONTROL
listeners=$listeners,DETOUR://$host:${ports[at + 4]},CONTROL://$host:${ports[at + 3]}
advertised.listeners=$listeners,DETOUR://$host:${ports[at + 5]}
listener.security.protocol.map=PLAIN:PLAINTEXT,MTLS:SSL,SASL:SASL_SSL,DETOUR:PLAINTEXT,CONTROL:PLAINTEXT
inter.broker.listener.name=PLAIN
log.dirs=$dir/node$1/log

ssl.keystore.type=PEM
ssl.keystore.location=$dir/tls/broker/store.pem
ssl.truststore.type=PEM
ssl.truststore.location=$dir/tls/ca/ca.crt
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.ssl.client.auth=none
$(sasl_properties)

auto.create.topics.enable=false
num.partitions=4
default.replication.factor=$copies
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$in_sync

# Waits that make sense for years of service, cut down to what a test run can wait for.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
broker.session.timeout.ms=6000
log.cleaner.backoff.ms=1000
log.cleaner.min.cleanable.ratio=0.01
${FRAGUA_KAFKA_EXTRA:-}
END
}

sasl_properties() {
    local login=org.apache.kafka.common.security
    cat <<END
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_$user="$password";
listener.name.sasl.scram-sha-256.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
END
}

describe() { # what tests source; written last, so that its presence means ready
    local name
    FRAGUA_KAFKA_DIR=$dir FRAGUA_KAFKA_NODES=$nodes FRAGUA_KAFKA_TLS=$dir/tls
    FRAGUA_KAFKA_PLAIN=$(addresses 0) FRAGUA_KAFKA_SSL=$(addresses 1) FRAGUA_KAFKA_SASL_SSL=$(addresses 2)
    FRAGUA_KAFKA_DETOUR=$(addresses 5) FRAGUA_KAFKA_DETOUR_TO=$(addresses 4)
    FRAGUA_KAFKA_USER=$user FRAGUA_KAFKA_PASSWORD=$password
    for name in DIR NODES PLAIN SSL SASL_SSL DETOUR DETOUR_TO USER PASSWORD TLS; do
        name=FRAGUA_KAFKA_$name
        printf '%s=%q\n' "$name" "${!name}"
    done >"$dir/env.part"
    mv "$dir/env.part" "$dir/env"
}

format() { # NODE-FOLDER: writes the empty log with the cluster's id and the SCRAM user
    [ ! -e "$1/log/meta.properties" ] || return 0
    java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$lib/*" \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn kafka.tools.StorageTool format \
        -t "$(<"$dir/cluster-id")" -c "$1/server.properties" \
        --add-scram "SCRAM-SHA-256=[name=$user,password=$password]" \
        --add-scram "SCRAM-SHA-512=[name=$user,password=$password]" >"$1/format.log" 2>&1 ||
        die "cannot format $1: $(tail -n 3 "$1/format.log")"
}

launch() { # NODE-FOLDER
    if [ -e "$1/log.txt" ]; then
        mv "$1/log.txt" "$1/log.previous.txt"
    fi
    # setsid: Ctrl-C on a test run must not reach the broker before the tests have finished with it.
    # One tier of compilation: functional tests end before the optimising compiler would have paid for itself.
    setsid java -Xms128m -Xmx"$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel="${TIER:-1}" -cp "$lib/*" \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
        -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS \
        -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
        kafka.Kafka "$1/server.properties" >"$1/log.txt" 2>&1 </dev/null &
    echo $! >"$1/pid"
    [ -z "${FRAGUA_KAFKA_OWNER:-}" ] || guard "$1" "$FRAGUA_KAFKA_OWNER" </dev/null >/dev/null 2>&1 &
}

guard() { # NODE-FOLDER PID: ends the node once PID is gone; ends itself with the node
    trap '' INT TERM HUP
    while [ -e "/proc/$2" ] && running "$1"; do
        sleep 1
    done
    ! running "$1" || kill "$(<"$1/pid")"
}

await_ready() { # NODE-FOLDER...
    local folder deadline=$((SECONDS + start_timeout_s))
    for folder in "$@"; do
        until grep -q 'Kafka Server started' "$folder/log.txt"; do
            running "$folder" || die "${folder##*/} ended at start: $(tail -n 20 "$folder/log.txt")"
            [ $SECONDS -lt $deadline ] || die "${folder##*/} not ready in $start_timeout_s s, see $folder/log.txt"
            sleep 0.1
        done
    done
}

start() {
    local node folders=()
    [ "$nodes" = 1 ] || [ "$nodes" = 3 ] || die "1 or 3 nodes, not \"$nodes\""
    [ ! -e "$dir/node0" ] || ! running "$dir/node0" || die "a bed already runs in $dir"
    rm -f "$dir/env"
    "$here/certs.sh" "$dir/tls"
    read -ra ports < <(python3 "$here/ports.py" $((nodes * each)))
    if [ ! -s "$dir/cluster-id" ]; then
        head -c 16 /dev/urandom | base64 | tr '+/' '-_' | sed 's/^-/a/; s/=*$//' >"$dir/cluster-id"
    fi
    for ((node = 0; node < nodes; node++)); do
        folders+=("$dir/node$node")
        mkdir -p "$dir/node$node"
        properties "$node" >"$dir/node$node/server.properties"
        format "$dir/node$node"
    done
    for node in "${folders[@]}"; do
        launch "$node"
    done
    await_ready "${folders[@]}"
    describe
    status
}

status() {
    local folder all=0
    for folder in "$dir"/node*; do
        if running "$folder"; then
            awk -v node="${folder##*/}" -v pid="$(<"$folder/pid")" \
                '/^VmRSS/ { printf "%s up, pid %d, %d MiB resident\n", node, pid, $2 / 1024 }' \
                "/proc/$(<"$folder/pid")/status"
        else
            echo "${folder##*/} down"
            all=1
        fi
    done
    return $all
}

end() { # SIGNAL NODE-FOLDER...
    local signal=$1 folder deadline=$((SECONDS + stop_timeout_s))
    shift
    for folder in "$@"; do
        ! running "$folder" || kill -"$signal" "$(<"$folder/pid")"
    done
    for folder in "$@"; do
        while running "$folder"; do
            [ $SECONDS -lt $deadline ] || kill -KILL "$(<"$folder/pid")"
            sleep 0.05
        done
        rm -f "$folder/pid"
    done
}

command=${1:-help}
if [ "$command" = get ]; then
    jars
    exit
fi
[ $# -ge 2 ] || { sed -n '3,19s/^# \{0,1\}//p' "$0" >&2; exit 64; }
mkdir -p "$2"
dir=$(cd "$2" && pwd)
case $command in
start)
    lib=$(jars)
    nodes=${3:-1}
    start
    ;;
stop) end TERM "$dir"/node* ;;
status) status ;;
kill) end KILL "$dir/node${3:?which node}" ;;
up)
    folder=$dir/node${3:?which node}
    ! running "$folder" || die "${folder##*/} already runs"
    lib=$(jars)
    launch "$folder"
    await_ready "$folder"
    ;;
*) die "no command \"$command\"" ;;
esac
