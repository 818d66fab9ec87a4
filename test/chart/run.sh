#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - tests charts/fragua without a cluster: lint, templates, schemas, what is refused, and what every pod must
# have. With FRAGUA_BIN (and FRAGUA_PLUGIN_PATH), or a program in build/, that also judges the rendered pipeline
# files. Prints "ok N - name" or "not ok N - name" for each check; the last line says how many passed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
chart=$top/charts/fragua
work=$(mktemp -d "${TMPDIR:-/tmp}/fragua-chart.XXXXXX")
trap 'rm -rf "$work"' EXIT
export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
passed=0 failed=0 skipped=0

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

skip() { # NAME REASON
    echo "ok $((passed + failed + skipped + 1)) - $1 # skip $2"
    skipped=$((skipped + 1))
}

finish() {
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    exit $((failed > 0))
}

check() { # NAME COMMAND...: passes when COMMAND does
    local name=$1 output
    shift
    output=$("$@" 2>&1)
    report $? "$name" "$output"
}

refused() { # NAME TEXT COMMAND...: passes when COMMAND fails and its output has TEXT
    local name=$1 text=$2 output
    shift 2
    if output=$("$@" 2>&1); then
        report 1 "$name" "it was accepted"
    elif [[ $output == *"$text"* ]]; then
        report 0 "$name"
    else
        report 1 "$name" "expected \"$text\" in: $output"
    fi
}

bin=$("$here/tools.sh")
case $? in
0) ;;
69) skip 'the chart' 'no helm and kubectl-validate, and no Go to build them'; finish ;;
*) report 1 'helm and kubectl-validate can be built'; finish ;;
esac
export PATH=$bin:$PATH

render() { # VALUES [ARGUMENTS]: the documents of a release "rel" in namespace "kafka"
    local values=$1
    shift
    helm template rel "$chart" --namespace kafka --kube-version 1.30.0 -f "$values" "$@"
}

valid() { # FILE...: by Kubernetes' and Strimzi's schemas, CEL rules included
    kubectl-validate --version 1.30 --local-crds "$here/crds" "$@"
}

documents() { # FILE PATTERN...: the documents that match every pattern
    local file=$1
    shift
    awk -v RS='\n---\n' 'BEGIN { n = ARGC; for (i = 2; i < n; i++) { p[i] = ARGV[i]; ARGV[i] = "" } }
        { for (i = 2; i < n; i++) if ("\n" $0 "\n" !~ p[i]) next; print $0 "\n---" }' "$file" "$@"
}

pipeline_file() { # FILE NAME: fragua.yaml of the ConfigMap NAME
    documents "$1" '\nkind: ConfigMap\n' "\n  name: $2\n" |
        sed -n '/^  fragua.yaml: |/,/^---/p' | sed '1d;/^---/d;s/^    //'
}

same_count() { # FILE PATTERN PATTERN: as many lines match the one as the other, and some do
    local a b
    a=$(grep -cE "$2" "$1") b=$(grep -cE "$3" "$1")
    [ "$a" -gt 0 ] && [ "$a" = "$b" ] || { echo "$a lines with $2, $b with $3"; return 1; }
}

restricted() { # FILE: each container is confined as the restricted Pod Security Standard asks
    local line
    for line in 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' '- ALL$'; do
        same_count "$1" '^ +image: ' "^ +$line" || return 1
    done
    for line in 'runAsNonRoot: true' 'runAsUser: 65532' 'type: RuntimeDefault' 'automountServiceAccountToken: false'; do
        same_count "$1" '^ +enableServiceLinks: false' "^ +$line" || return 1
    done
}

mounts_folders() { # FILE: no single file is mounted: such a mount never changes
    lacks "$1" subPath
}

trusts_cluster_ca() { # FILE SECRET: brokers are verified by the cluster's CA; the clients' CA is not in the pod
    local from
    from=$(grep -A2 -E '^ +- name: cluster-ca$' "$1" | grep -oE 'secretName: .*' | sort -u)
    [ "$from" = "secretName: $2" ] || { echo "cluster-ca comes from: $from"; return 1; }
    ! grep -nE 'key: "?ca\.crt|clients-ca' "$1"
}

probes_by_name() { # FILE: each container that opens a port is probed, by the port's name
    same_count "$1" 'containerPort:' 'httpGet: \{path: /readyz, port: http, scheme: HTTP\}' || return 1
    [ "$(grep -c 'path: /livez, port: http' "$1")" = $((2 * $(grep -c containerPort: "$1"))) ]
}

lacks() { # FILE PATTERN: it is not empty, and no line has the pattern
    [ -s "$1" ] || { echo "$1 is empty"; return 1; }
    ! grep -nE "$2" "$1"
}

has() { # FILE PATTERN...
    local file=$1 pattern
    shift
    for pattern; do
        grep -qE "$pattern" "$file" || { echo "no line has: $pattern"; return 1; }
    done
}

may() { # FILE [RESOURCE OPERATIONS]...: a KafkaUser's rights, in this order; of others only those added by hand
    local file=$1 wanted= pattern
    shift
    while [ $# -gt 0 ]; do
        pattern=literal
        [[ $1 != transactionalId* ]] || pattern=prefix
        wanted+="- resource: {type: $1, patternType: $pattern}"$'\n'"operations: [$2]"$'\n'
        shift 2
    done
    diff <(sed -n '/^ *acls:$/,/^---/{/{type\|\[/{s/^ *//p}}' "$file") <(printf %s "$wanted")
}

documented() { # every key of values.yaml is in the schema and at least each section in the README
    local key missing=0
    for key in $(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' "$chart/values.yaml"); do
        grep -q "^    \"$key\": " "$chart/values.schema.json" || { echo "$key is not in the schema"; missing=1; }
        grep -q "\`$key\`" "$chart/README.md" || { echo "$key is not in the README"; missing=1; }
    done
    return $missing
}

packs() { # the package has what an installation needs, and nothing of the tests
    helm package "$chart" -d "$work/pack" >/dev/null || return 1
    tar -tzf "$work"/pack/*.tgz >"$work/pack/list"
    has "$work/pack/list" values.schema.json README.md templates/_pod.tpl && lacks "$work/pack/list" '/ci/'
}

notes_tell() { # helm shows the notes only when it installs, so a copy of the chart renders them into an object
    cp -r "$chart" "$work/notes-chart" || return 1
    printf 'kind: List\nnotes: |\n  {{- include (print .Template.BasePath "/NOTES.txt") . | nindent 2 }}\n' \
        >"$work/notes-chart/templates/notes.yaml"
    helm template rel "$work/notes-chart" --namespace kafka -f "$chart/ci/minimal-values.yaml" \
        -s templates/notes.yaml >"$work/notes" || return 1
    has "$work/notes" '^    kafka-cluster-ca-cert ' '^    rel-fragua-producer .*KafkaUser' \
        '^    fragua-graph ' '^    fragua-http '
}

# --- every set of values
for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    out=$work/$name.yaml
    check "$name: lint finds nothing" helm lint --strict --quiet "$chart" -f "$values"
    render "$values" >"$out" 2>"$work/error"
    report $? "$name: renders" "$(cat "$work/error")"
    check "$name: every document fits the schemas of Kubernetes and Strimzi" valid "$out"
    check "$name: pods are confined" restricted "$out"
    check "$name: only folders are mounted" mounts_folders "$out"
done

# --- what single sets must give
split=$work/split.yaml combined=$work/combined.yaml minimal=$work/minimal.yaml existing=$work/existing-configmap.yaml
text=$work/text.yaml
check 'split: brokers are verified by the cluster CA' trusts_cluster_ca "$split" events-cluster-ca-cert
check 'combined: brokers are verified by the cluster CA' trusts_cluster_ca "$combined" events-cluster-ca-cert
check 'existing-configmap: a copied CA Secret is taken' trusts_cluster_ca "$existing" copied-cluster-ca
check 'minimal: probes go to the named port' probes_by_name "$minimal"
check 'combined: probes go to the named port' probes_by_name "$combined"
check 'text: without HTTP there is no port, probe or Service' lacks "$text" 'containerPort|Probe:|kind: Service$'
check 'minimal: one Deployment and one KafkaUser a role' \
    same_count "$minimal" '^kind: Deployment' '^kind: KafkaUser'
check 'combined: one process runs both roles' has "$combined" '^ +- both$'
check 'minimal: a replica goes by the name of its pod' \
    same_count "$minimal" 'fieldPath: metadata.name' '^ +- \$\(POD_NAME\)$'
documents "$minimal" '\nkind: Deployment\n' 'component: consumer\n' >"$work/consumer"
check 'minimal: the consumer does not see the mailboxes'"' Secret" lacks "$work/consumer" 'graph'
documents "$split" '\nkind: KafkaUser\n' 'component: producer\n' >"$work/user"
check 'split: the producer writes its topics, in transactions of its own' may "$work/user" \
    'topic, name: "Mail_Documents"' 'Read, Write, Describe' 'topic, name: "fragua.cursors"' 'Read, Write, Describe' \
    'topic, name: "mail.dead"' 'Write, Describe' 'group, name: "fragua-ingest"' 'Read, Describe' \
    'group, name: "fragua-reader"' 'Read, Describe' 'transactionalId, name: "fragua-ingest-"' 'Write, Describe'
documents "$split" '\nkind: KafkaUser\n' 'component: consumer\n' >"$work/user"
check 'split: the consumer reads documents and writes entities, also in a pipeline that was added' may "$work/user" \
    'topic, name: "Mail_Documents"' 'Read, Describe' 'topic, name: "mail.archive"' 'Read, Write, Describe' \
    'topic, name: "mail.dead"' 'Write, Describe' 'topic, name: "mail.entities"' 'Read, Write, Describe' \
    'group, name: "fragua-archive"' 'Read, Describe' 'group, name: "fragua-reader"' 'Read, Describe' \
    'group, name: "fragua-recognise"' 'Read, Describe' 'transactionalId, name: "fragua-archive-"' 'Write, Describe' \
    'transactionalId, name: "fragua-recognise-"' 'Write, Describe'
check 'split: rights can be added' has "$work/user" 'name: mail.audit$'
render "$chart/ci/minimal-values.yaml" --set-string kafka.authentication=scram-sha-512 \
    --set-file configText="$here/rights.yaml" --set producer.enabled=false >"$work/told.yaml"
documents "$work/told.yaml" '\nkind: KafkaUser\n' >"$work/user"
check 'rights follow from a pipeline file given as text' may "$work/user" \
    'topic, name: "mail.dead"' 'Write, Describe' 'topic, name: "my.cursors"' 'Read, Write, Describe' \
    'topic, name: "one"' 'Read, Write, Describe' 'topic, name: "others"' 'Read, Write, Describe' \
    'topic, name: "two"' 'Read, Describe' 'group, name: "fragua-in"' 'Read, Describe' \
    'group, name: "fragua-reader"' 'Read, Describe' 'group, name: "readers"' 'Read, Describe' \
    'transactionalId, name: "fragua-in-"' 'Write, Describe' 'transactionalId, name: "fragua-out-"' 'Write, Describe'
render "$chart/ci/existing-configmap-values.yaml" --set kafka.users.create=true,consumer.kafkaUserSecret= \
    >"$work/unseen.yaml"
documents "$work/unseen.yaml" '\nkind: KafkaUser\n' >"$work/user"
check 'existing-configmap: rights on what begins as the program'"'"'s own names do' has "$work/user" \
    'type: transactionalId, name: fragua-, patternType: prefix' 'type: group, name: fragua-, patternType: prefix' \
    'name: "mail.documents", patternType: literal'
documents "$split" '\nkind: KafkaTopic\n' 'topicName: "fragua.cursors"' >"$work/cursors"
check 'split: cursors are compacted, and kept at uninstall' has "$work/cursors" \
    'cleanup.policy: compact' 'helm.sh/resource-policy: keep'
check 'split: large numbers stay whole' has "$split" 'retention.ms: 2592000000$'
check 'combined: topics are not kept when so told' lacks "$combined" 'resource-policy'
check 'combined: logs in as its KafkaUser' has "$combined" 'username: rel-fragua-combined$' \
    'password: ..file:/etc/fragua/user/password.$' '^    type: scram-sha-512$'
check 'existing-configmap: nothing is made that is there' lacks "$existing" '^kind: (ConfigMap|Kafka|ServiceAccount)'
pipeline_file "$split" mail-consumer >"$work/split-consumer.fragua"
check 'split: strings of the pipeline file are templates' \
    has "$work/split-consumer.fragua" 'url: http://rel-nlp:8000/ent'
check 'split: a role gets only its own pipelines' \
    lacks "$work/split-consumer.fragua" 'graphmail|ingest|/etc/fragua/graph'
check 'text: the text is a template that knows its role' has "$text" '^    # consumer of rel$'
render "$chart/ci/minimal-values.yaml" --set config.limits.memory=64MiB >"$work/changed.yaml"
check 'a changed pipeline file starts new pods' \
    test "$(grep checksum/config "$minimal")" != "$(grep checksum/config "$work/changed.yaml")"
render "$chart/ci/minimal-values.yaml" --set config.http.tls.certificate=/c,config.http.tls.key=/k >"$work/https.yaml"
check 'with a certificate the probes speak HTTPS' has "$work/https.yaml" 'path: /readyz, port: http, scheme: HTTPS'
check 'every value is in the schema and the README' documented
check 'the package holds no test values' packs
check 'the notes name the Secrets that are waited for' notes_tell

# --- what is refused
base=$chart/ci/minimal-values.yaml
refused 'an unknown value is refused' 'property replica is not allowed' render "$base" --set replica=2
refused 'an unknown value of a role is refused' 'producer: Additional property replica' \
    render "$base" --set producer.replica=2
refused 'another mode is refused' 'mode must be one of' render "$base" --set mode=both
refused 'a negative number of replicas is refused' 'consumer.replicas: Must be greater' \
    render "$base" --set consumer.replicas=-1
refused 'a tag that is a number is refused' 'image.tag: Invalid type' render "$base" --set image.tag=1
refused 'a token that is no SHA-256 is refused' 'http.token.sha256: Does not match' \
    render "$base" --set http.token.sha256=secret
refused 'a role that does not exist is refused' 'role must be one of' \
    render "$base" --set config.pipelines.ingest.role=both
refused 'an unknown section of the pipeline file is refused' 'config: Additional property pipeline' \
    render "$base" --set config.pipeline.x=1
refused 'an old Kubernetes is refused' 'requires kubeVersion' render "$base" --kube-version 1.29.0
refused 'a pipeline file that is not YAML is refused' 'is not YAML' render "$base" --set configText='a: ]'
refused 'both roles off is refused' 'nothing would run' \
    render "$base" --set producer.enabled=false --set consumer.enabled=false
refused 'no token is refused' 'http.token.sha256' render "$base" --set http.token.existingSecret=
refused 'client certificates, which the probes do not have, are refused' 'probes' \
    render "$base" --set config.http.tls.client-ca=/ca
refused 'a sink without address is refused' 'config.pipelines.recognise.sink.url' \
    render "$base" --set config.pipelines.recognise.sink.url=
: >"$work/nothing.yaml"
for word in http.token graph.existingSecret source.tenant source.client source.mailboxes; do
    refused "without values, $word is asked for" "$word" render "$work/nothing.yaml"
done
render "$base" --set-json \
    'producer.extraAcls=[{"resource":{"type":"topic","name":"a"},"operations":["Reed"]}]' >"$work/acl.yaml"
refused 'an operation that Kafka does not have is not valid' 'Reed' valid "$work/acl.yaml"
sed 's/^  partitions: .*/  partitions: three/' "$minimal" >"$work/partitions.yaml"
refused 'partitions that are no number are not valid' 'spec.partitions' valid "$work/partitions.yaml"
sed 's|kafka.strimzi.io/v1$|kafka.strimzi.io/v1beta2|' "$minimal" >"$work/old.yaml"
refused 'an old version of Strimzi is not valid' 'v1beta2' valid "$work/old.yaml"
sed 's/readOnlyRootFilesystem/readonlyRootFilesystem/' "$minimal" >"$work/field.yaml"
refused 'a misspelt field is not valid' 'readonlyRootFilesystem' valid "$work/field.yaml"

# --- the pipeline files, by the program itself
if [ -z "${FRAGUA_BIN:-}" ] && [ -e "$top/build/build.ninja" ]; then
    # shellcheck source=scripts/devenv.sh
    . "$top/scripts/devenv.sh" "$top/build"
fi

fake_secrets() { # the folders of a pod, below $work/etc/fragua
    local dir=$work/etc/fragua
    mkdir -p "$dir/cluster-ca" "$dir/user" "$dir/graph" "$dir/http"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test \
        -keyout "$dir/user/user.key" -out "$dir/user/user.crt" 2>/dev/null || return 1
    cp "$dir/user/user.crt" "$dir/cluster-ca/ca.crt"
    echo secret >"$dir/user/password"
    echo secret >"$dir/graph/client-secret"
    printf %s token | sha256sum | cut -d' ' -f1 >"$dir/http/sha256"
}

validates() { # RENDERED CONFIGMAP: the program takes the file, in a pod's folders
    pipeline_file "$1" "$2" | sed "s|/etc/fragua/|$work/etc/fragua/|" >"$work/fragua.yaml"
    [ -s "$work/fragua.yaml" ] || { echo "no ConfigMap $2"; return 1; }
    LD_LIBRARY_PATH=$newlib "$FRAGUA_BIN" validate "$work/fragua.yaml"
}

takes_arguments() { # RENDERED: of all its Deployments; --help keeps the program from running
    local arguments
    documents "$1" '\nkind: Deployment\n' | sed -n '/^ *args:$/,/^ *[a-z]*:/{s/^ *- //p}' | grep -v : >"$work/arguments"
    [ -s "$work/arguments" ] || { echo 'no arguments'; return 1; }
    mapfile -t arguments <"$work/arguments"
    "$FRAGUA_BIN" "${arguments[@]}" --help
}

cases='minimal:rel-fragua-producer minimal:rel-fragua-consumer split:mail-producer split:mail-consumer
    combined:rel-fragua-combined text:rel-fragua-consumer'
if [ -x "${FRAGUA_BIN:-}" ]; then
    # The image has a librdkafka that can log in by SCRAM; this machine's may not, and validate says so.
    newlib=$("$top/scripts/newlib.sh") || newlib=
    check 'Secrets for the program can be made' fake_secrets
    for case in $cases; do
        check "fragua validate takes the file of $case" validates "$work/${case%%:*}.yaml" "${case#*:}"
    done
    check 'fragua run takes the arguments of the pods' takes_arguments "$combined"
    rm "$work/etc/fragua/graph/client-secret"
    refused 'fragua validate names a Secret that is missing' client-secret validates "$minimal" rel-fragua-producer
else
    for case in $cases; do
        skip "fragua validate takes the file of $case" 'no program in FRAGUA_BIN or build/'
    done
    skip 'fragua run takes the arguments of the pods' 'no program in FRAGUA_BIN or build/'
fi
finish
