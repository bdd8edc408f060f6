{{/* Labels that select a component's pods; they never change. */}}
{{- define "weir.selector" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* All labels: (list . COMPONENT) */}}
{{- define "weir.labels" -}}
{{- $root := index . 0 -}}
{{ include "weir.selector" (index . 1) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: weir
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- define "weir.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What every container has that needs no privilege. */}}
{{- define "weir.unprivileged" -}}
runAsNonRoot: true
runAsUser: 65534
runAsGroup: 65534
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* SELinux's and AppArmor's rules for plain containers forbid the node's files and other processes'
     namespaces, whatever the capabilities. AppArmor's is a field since 1.30, before an annotation. */}}
{{- define "weir.unconfined" -}}
seLinuxOptions:
  type: spc_t
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}
appArmorProfile:
  type: Unconfined
{{- end -}}
{{- end }}

{{- define "weir.observeSecret" -}}
{{ .Values.observe.tls.secretName | default "weir-observe-tls" }}
{{- end }}

{{/* Whether the observers answer other machines, and with TLS. */}}
{{- define "weir.observeTls" -}}
{{- if and .Values.relay.enabled .Values.observe.tls.enabled }}true{{ end -}}
{{- end }}
