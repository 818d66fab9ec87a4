{{/* Names, labels, and what several objects must agree on. A "place" is a dict: root (the top context) and role. */}}

{{- define "fragua.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* 44 at most: with "-producer" and a pod's suffix it stays below 63, and a KafkaUser's name below 64. */}}
{{- define "fragua.fullname" -}}
{{- $name := include "fragua.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The roles that have a Deployment, joined by blanks. */}}
{{- define "fragua.roles" -}}
{{- if eq .Values.mode "combined" -}}
combined
{{- else -}}
{{- $roles := list -}}
{{- range list "producer" "consumer" -}}
{{- if (get $.Values .).enabled -}}{{- $roles = append $roles . -}}{{- end -}}
{{- end -}}
{{- if not $roles -}}
{{- fail "fragua: producer.enabled and consumer.enabled are both false: nothing would run" -}}
{{- end -}}
{{- join " " $roles -}}
{{- end -}}
{{- end -}}

{{/* Name of a role's objects. */}}
{{- define "fragua.roleName" -}}
{{- printf "%s-%s" (include "fragua.fullname" .root) .role -}}
{{- end -}}

{{- define "fragua.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fragua.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fragua.labels" -}}
{{ include "fragua.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fragua.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "fragua.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fragua.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Strimzi's names: the CA that signed the brokers, and the Secret of the role's user. */}}
{{- define "fragua.clusterCaSecret" -}}
{{- default (printf "%s-cluster-ca-cert" .Values.kafka.cluster) .Values.kafka.clusterCaSecret -}}
{{- end -}}

{{- define "fragua.kafkaUserSecret" -}}
{{- $user := printf "%s%s" .root.Values.kafka.userSecretPrefix (include "fragua.roleName" .) -}}
{{- default $user (get .root.Values .role).kafkaUserSecret -}}
{{- end -}}

{{/* Whether the role's KafkaUser is the chart's to make: "true" or nothing. */}}
{{- define "fragua.makesUser" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $given := (get .root.Values .role).kafkaUserSecret -}}
{{- if and $kafka.users.create (ne $kafka.authentication "none") (not $given) -}}true{{- end -}}
{{- end -}}

{{/* HTTPS as soon as the values give the server a certificate; for a text or ConfigMap of one's own, HTTP. */}}
{{- define "fragua.httpScheme" -}}
{{- if dig "http" "tls" "" .Values.config -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{/* The ConfigMap of a role. */}}
{{- define "fragua.configMap" -}}
{{- default (include "fragua.roleName" .) (get .root.Values .role).existingConfigMap -}}
{{- end -}}

{{/* The rights of a role's KafkaUser: what its pipeline file says, and no more. Of outputs the API shows the latest,
     so they are also read; "fragua-reader" is the group for that. Names by ${...} are known only in the pod. */}}
{{- define "fragua.acls" -}}
{{- if (get .root.Values .role).existingConfigMap -}}
{{- include "fragua.acls.unseen" . -}}
{{- else -}}
{{- $file := include "fragua.config" . | fromYaml -}}
{{- with $file.Error -}}
{{- fail (printf "fragua: the pipeline file of the %s is not YAML: %s" $.role .) -}}
{{- end -}}
{{- $read := dict -}}
{{- $write := dict -}}
{{- $groups := dict "fragua-reader" true -}}
{{- range $name, $p := $file.pipelines -}}
{{- $input := get $p "input" | default dict -}}
{{- $group := ternary (get $input "group") (get $p "group") (hasKey $p "input") | default (printf "fragua-%s" $name) -}}
{{- $_ := set $groups $group true -}}
{{- $in := append (get $input "topics" | default list) (get $input "topic") -}}
{{- $out := get $p "output" | default dict | values -}}
{{- $cursors := ternary (list (dig "kafka" "cursors-topic" "fragua.cursors" $file)) list (hasKey $p "source") -}}
{{- range compact (concat $in $out $cursors) -}}{{- $_ := set $read . true -}}{{- end -}}
{{- range compact (concat $out $cursors) -}}{{- $_ := set $write . true -}}{{- end -}}
{{- if hasKey $p "dead-letters" -}}
{{- $_ := set $write (get ($p | default dict) "dead-letters" | default dict | dig "topic" "mail.dead") true -}}
{{- end -}}
{{- end -}}
{{- range $topic := concat (keys $read) (keys $write) | uniq | sortAlpha -}}
{{- if not (contains "${" $topic) }}
{{- $may := ternary (list "Read") list (hasKey $read $topic) }}
{{- $may = concat $may (ternary (list "Write") list (hasKey $write $topic)) }}
- resource: {type: topic, name: {{ $topic | quote }}, patternType: literal}
  operations: [{{ append $may "Describe" | join ", " }}]
{{- end }}
{{- end }}
{{- range $group, $_ := $groups }}
{{- if not (contains "${" $group) }}
- resource: {type: group, name: {{ $group | quote }}, patternType: literal}
  operations: [Read, Describe]
{{- end }}
{{- end }}
{{- range $name, $_ := $file.pipelines }}
- resource: {type: transactionalId, name: {{ printf "fragua-%s-" $name | quote }}, patternType: prefix}
  operations: [Write, Describe]
{{- end }}
{{- end }}
{{- with (get .root.Values .role).extraAcls }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The same for a file that the chart does not see: the topics of the values, and all groups and transactions that
     begin as fragua's do. */}}
{{- define "fragua.acls.unseen" -}}
{{- $both := list "Read" "Write" -}}
{{- $rights := dict
  "producer" (dict "documents" $both "dead" (list "Write") "cursors" $both)
  "consumer" (dict "documents" (list "Read") "entities" $both "dead" (list "Write"))
  "combined" (dict "documents" $both "entities" $both "dead" (list "Write") "cursors" $both) -}}
{{- $topics := .root.Values.kafka.topics -}}
{{- range $key, $operations := get $rights .role }}
- resource: {type: topic, name: {{ (get $topics $key).name | quote }}, patternType: literal}
  operations: [{{ append $operations "Describe" | join ", " }}]
{{- end }}
- resource: {type: group, name: fragua-, patternType: prefix}
  operations: [Read, Describe]
- resource: {type: transactionalId, name: fragua-, patternType: prefix}
  operations: [Write, Describe]
{{- end -}}

{{/* The sections of the pipeline file that follow from the other values. */}}
{{- define "fragua.config.base" -}}
{{- $v := .root.Values -}}
{{- $user := default (include "fragua.roleName" .) (get $v .role).kafkaUserName -}}
kafka:
  bootstrap.servers: {{ default (printf "%s-kafka-bootstrap:9093" $v.kafka.cluster) $v.kafka.bootstrapServers | quote }}
  cursors-topic: {{ $v.kafka.topics.cursors.name | quote }}
  {{- if ne $v.kafka.authentication "none" }}
  tls:
    ca: /etc/fragua/cluster-ca
    {{- if eq $v.kafka.authentication "tls" }}
    certificate: /etc/fragua/user/user.crt
    key: /etc/fragua/user/user.key
    {{- end }}
  {{- end }}
  {{- if eq $v.kafka.authentication "scram-sha-512" }}
  sasl:
    mechanism: SCRAM-SHA-512
    username: {{ $user | quote }}
    password: ${file:/etc/fragua/user/password}
  {{- end }}
{{- if $v.http.enabled }}
http:
  listen: {{ printf "0.0.0.0:%d" (int $v.http.port) | quote }}
  {{- with $v.http.token }}
  {{- if or .sha256 .existingSecret }}
  tokens:
    - name: {{ .name | quote }}
      sha256: {{ if .existingSecret }}${file:/etc/fragua/http/sha256}{{ else }}{{ .sha256 | quote }}{{ end }}
      scopes: {{ toJson .scopes }}
  {{- end }}
  {{- end }}
  plugins:
    - plugin: http-control
{{- end }}
{{- end -}}

{{/* What a made pipeline file still lacks, one line each; .file is the file as a dict, before its templates. */}}
{{- define "fragua.config.lacks" -}}
{{- $v := .root.Values -}}
{{- $http := get .file "http" | default dict -}}
{{- if dig "tls" "client-ca" "" $http -}}
{{- fail "fragua: config.http.tls.client-ca would refuse the kubelet's probes; use http.token" -}}
{{- end -}}
{{- if and $http (not (get $http "tokens")) -}}
{{- printf "- http.token.sha256 or http.token.existingSecret: no token, no port for others than the pod itself\n" -}}
{{- end -}}
{{- range $name, $p := .file.pipelines -}}
{{- $at := printf "config.pipelines.%s" $name -}}
{{- $source := get $p "source" | default dict -}}
{{- if eq (get $source "plugin") "source-graphmail" -}}
{{- range $key := list "tenant" "client" "mailboxes" -}}
{{- if not (get $source $key) -}}{{- printf "- %s.source.%s\n" $at $key -}}{{- end -}}
{{- end -}}
{{- if and (not $v.graph.existingSecret) (contains "/etc/fragua/graph/" (toJson (get $source "credential"))) -}}
{{- printf "- graph.existingSecret: %s.source.credential reads a file of it\n" $at -}}
{{- end -}}
{{- end -}}
{{- $sink := get $p "sink" | default dict -}}
{{- if and (eq (get $sink "plugin") "sink-nlp") (not (get $sink "url")) -}}
{{- printf "- %s.sink.url: address of the entity service\n" $at -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The pipeline file of a place: the text as given, or the made sections with `config` laid over, and of the pipelines
     those of this role: a file must not name Secrets that only another role's pods have. */}}
{{- define "fragua.config" -}}
{{- $v := .root.Values -}}
{{- $role := .role -}}
{{- $context := dict "Values" $v "Release" .root.Release "Chart" .root.Chart "Capabilities" .root.Capabilities
  "Files" .root.Files "Template" .root.Template "Role" $role -}}
{{- if $v.configText -}}
{{- tpl $v.configText $context -}}
{{- else -}}
{{- $file := mergeOverwrite (include "fragua.config.base" . | fromYaml) (deepCopy $v.config) -}}
{{- $pipelines := dict -}}
{{- range $name, $p := $file.pipelines -}}
{{- $of := default (ternary "producer" "consumer" (hasKey $p "source")) $p.role -}}
{{- if or (eq $role "combined") (eq $of $role) -}}{{- $_ := set $pipelines $name $p -}}{{- end -}}
{{- end -}}
{{- if not $pipelines -}}
{{- fail (printf "fragua: no pipeline in config.pipelines has the role %s; set %s.enabled: false" $role $role) -}}
{{- end -}}
{{- $_ := set $file "pipelines" $pipelines -}}
{{- with include "fragua.config.lacks" (dict "root" .root "file" $file) -}}
{{- fail (printf "fragua: these values are needed (see the chart's README):\n%s" .) -}}
{{- end -}}
{{- tpl (toYaml $file) $context -}}
{{- end -}}
{{- end -}}
