{{/* What the pods of a Deployment and the test pod have in common; each takes a place. */}}

{{- define "fragua.podSpecCommon" -}}
serviceAccountName: {{ include "fragua.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* Whole folders, never subPath: a file mounted by subPath keeps its old contents for ever. */}}
{{- define "fragua.volumeMounts" -}}
{{- $v := .root.Values -}}
{{- $r := get $v .role -}}
- {name: config, mountPath: /etc/fragua/config, readOnly: true}
{{- if ne $v.kafka.authentication "none" }}
- {name: cluster-ca, mountPath: /etc/fragua/cluster-ca, readOnly: true}
- {name: user, mountPath: /etc/fragua/user, readOnly: true}
{{- end }}
{{- if and $v.graph.existingSecret (ne .role "consumer") }}
- {name: graph, mountPath: /etc/fragua/graph, readOnly: true}
{{- end }}
{{- if and $v.http.enabled $v.http.token.existingSecret }}
- {name: http, mountPath: /etc/fragua/http, readOnly: true}
{{- end }}
{{- with concat $v.extraVolumeMounts $r.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fragua.volumes" -}}
{{- $v := .root.Values -}}
{{- $r := get $v .role -}}
- name: config
  configMap:
    name: {{ include "fragua.configMap" . }}
{{- if ne $v.kafka.authentication "none" }}
# The brokers' CA. All keys: after a CA was replaced, the previous one stays beside it under a dated name.
- name: cluster-ca
  secret:
    secretName: {{ include "fragua.clusterCaSecret" .root }}
    defaultMode: 0440
# Who we are. Not ca.crt, which in a user's Secret is the clients' CA and would refuse every broker.
- name: user
  secret:
    secretName: {{ include "fragua.kafkaUserSecret" . }}
    defaultMode: 0440
    items:
      {{- if eq $v.kafka.authentication "tls" }}
      - {key: user.crt, path: user.crt}
      - {key: user.key, path: user.key}
      {{- else }}
      - {key: password, path: password}
      {{- end }}
{{- end }}
{{- if and $v.graph.existingSecret (ne .role "consumer") }}
- name: graph
  secret:
    secretName: {{ $v.graph.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ $v.graph.secretKey | quote }}, path: client-secret}
{{- end }}
{{- if and $v.http.enabled $v.http.token.existingSecret }}
- name: http
  secret:
    secretName: {{ $v.http.token.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ $v.http.token.secretKey | quote }}, path: sha256}
{{- end }}
{{- with concat $v.extraVolumes $r.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fragua.probes" -}}
{{- $scheme := include "fragua.httpScheme" . -}}
startupProbe:
  httpGet: {path: /livez, port: http, scheme: {{ $scheme }}}
  {{- toYaml .Values.startupProbe | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: http, scheme: {{ $scheme }}}
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: http, scheme: {{ $scheme }}}
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- end -}}

{{/* The pod template of a role, from metadata on. */}}
{{- define "fragua.pod" -}}
{{- $v := .root.Values -}}
{{- $r := get $v .role -}}
metadata:
  labels: {{- include "fragua.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- with merge (dict) $r.podLabels $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $annotations := merge (dict) $r.podAnnotations $v.podAnnotations }}
  {{- if and $v.rollOnConfigChange (not $r.existingConfigMap) }}
  {{- $_ := set $annotations "checksum/config" (include "fragua.config" . | sha256sum) }}
  {{- end }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "fragua.podSpecCommon" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with default (get $v $key) (get $r $key) }}
  {{ $key }}: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: fragua
      image: {{ include "fragua.image" .root | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        - run
        - -c
        - /etc/fragua/config/fragua.yaml
        - --role
        - {{ ternary "both" .role (eq .role "combined") }}
        - --instance
        - $(POD_NAME)
        - --log-format
        - {{ $v.log.format }}
        - --log-level
        - {{ $v.log.level }}
        {{- with $r.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        {{- with concat $v.extraEnv $r.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if $v.http.enabled }}
      ports:
        - {name: http, containerPort: {{ $v.http.port }}, protocol: TCP}
      {{- include "fragua.probes" .root | nindent 6 }}
      {{- end }}
      {{- with default $v.resources $r.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext: {{- toYaml $v.securityContext | nindent 8 }}
      volumeMounts: {{- include "fragua.volumeMounts" . | nindent 8 }}
  volumes: {{- include "fragua.volumes" . | nindent 4 }}
{{- end -}}
