{{/* Judges, loads the kernel programs, speaks with the API server. Never touches a pod's bytes. */}}
{{- define "weir.agentContainer" -}}
- name: agent
  image: {{ include "weir.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [/weir]
  args:
    - agent
    - --cluster
    - --node-name
    - $(NODE_NAME)
    {{- with .Values.agent.clusterName }}
    - --cluster-name
    - {{ . | quote }}
    {{- end }}
    - --metrics
    - 0.0.0.0:{{ .Values.metrics.port }}
    {{- if .Values.metrics.tokenSecret }}
    - --metrics-token-file
    - /etc/weir/metrics/token
    {{- end }}
    - --observe
    - {{ ternary "0.0.0.0" "127.0.0.1" .Values.relay.enabled }}:{{ .Values.observe.port }}
    {{- if include "weir.observeTls" . }}
    - --observe-cert
    - /etc/weir/observe/tls.crt
    - --observe-key
    - /etc/weir/observe/tls.key
    - --observe-client-ca
    - /etc/weir/observe/ca.crt
    {{- end }}
    - --flow-records
    - {{ .Values.observe.records | int | quote }}
    {{- range $map, $entries := .Values.agent.maps }}
    - --map-size
    - {{ $map }}={{ $entries | int }}
    {{- end }}
    {{- range .Values.agent.podCIDRs }}
    - --pod-cidr
    - {{ . | quote }}
    {{- end }}
    {{- if .Values.agent.podConditions }}
    - --pod-conditions
    {{- end }}
    {{- if eq .Values.agent.policyDenyResponse "icmp" }}
    - --policy-deny-response
    - icmp
    {{- end }}
    {{- if ne .Values.agent.hostPolicies "audit" }}
    - --host-policies
    - {{ .Values.agent.hostPolicies }}
    {{- end }}
    - --health
    - 127.0.0.1:9878
    {{- if .Values.cni.chain }}
    - --cni-bin-dir
    - /host/opt/cni/bin
    - --cni-conf-dir
    - /host/etc/cni/net.d
    {{- if .Values.cni.openWithoutAgent }}
    - --cni-open
    {{- end }}
    {{- end }}
    {{- with .Values.agent.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: NODE_NAME
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: WEIR_LOG
      value: {{ .Values.agent.logLevel | quote }}
    - name: WEIR_LOG_FORMAT
      value: {{ .Values.logFormat }}
    {{- if .Values.apiServer.host }}
    - name: KUBERNETES_SERVICE_HOST
      value: {{ .Values.apiServer.host | quote }}
    - name: KUBERNETES_SERVICE_PORT
      value: {{ .Values.apiServer.port | quote }}
    {{- end }}
  securityContext:
    {{- include "weir.agentSecurity" . | nindent 4 }}
  startupProbe:
    httpGet: {host: 127.0.0.1, port: 9878, path: /livez, scheme: HTTP}
    periodSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: {host: 127.0.0.1, port: 9878, path: /livez, scheme: HTTP}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {host: 127.0.0.1, port: 9878, path: /readyz, scheme: HTTP}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 3
  resources:
    {{- toYaml .Values.agent.resources | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: run
      mountPath: /run/weir
    - name: netns
      mountPath: /run/netns
      mountPropagation: HostToContainer
    - name: bpf
      mountPath: /sys/fs/bpf
      mountPropagation: HostToContainer
    - name: log
      mountPath: /var/log/weir
    - name: token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- if .Values.cni.chain }}
    - name: cni-bin
      mountPath: /host/opt/cni/bin
    - name: cni-conf
      mountPath: /host/etc/cni/net.d
    {{- end }}
    {{- if .Values.metrics.tokenSecret }}
    - name: metrics-token
      mountPath: /etc/weir/metrics
      readOnly: true
    {{- end }}
    {{- if include "weir.observeTls" . }}
    - name: observe-tls
      mountPath: /etc/weir/observe
      readOnly: true
    {{- end }}
{{- end }}

{{/* docs/install.md says why each. */}}
{{- define "weir.agentSecurity" -}}
privileged: false
runAsUser: 0
runAsGroup: 0
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: [NET_ADMIN, SYS_ADMIN, SYS_CHROOT, SYS_PTRACE]
seccompProfile:
  type: RuntimeDefault
{{ include "weir.unconfined" . }}
{{- end }}

{{/* Reads what strangers send. Gives up root and all but NET_RAW before the first byte. */}}
{{- define "weir.proxyContainer" -}}
- name: proxy
  image: {{ include "weir.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [/weir]
  args:
    - proxy
    - --wait
    - --drain
    - {{ .Values.proxy.drainSeconds }}s
    - --connections
    - {{ .Values.proxy.connections | int | quote }}
    {{- if .Values.proxy.workers }}
    - --workers
    - {{ .Values.proxy.workers | quote }}
    {{- end }}
    {{- with .Values.proxy.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: WEIR_LOG
      value: {{ .Values.proxy.logLevel | quote }}
    - name: WEIR_LOG_FORMAT
      value: {{ .Values.logFormat }}
  securityContext:
    privileged: false
    runAsUser: 0
    runAsGroup: 0
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
      add: [NET_RAW, SETGID, SETPCAP, SETUID, SYS_ADMIN]
    seccompProfile:
      type: RuntimeDefault
    {{- include "weir.unconfined" . | nindent 4 }}
  resources:
    {{- toYaml .Values.proxy.resources | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: run
      mountPath: /run/weir
      readOnly: true
    - name: netns
      mountPath: /run/netns
      mountPropagation: HostToContainer
      readOnly: true
{{- end }}

{{/* Uninstall: takes Weir off the node, then waits. */}}
{{- define "weir.cleanupContainers" -}}
initContainers:
  {{- if .Values.cni.chain }}
  - name: cni
    image: {{ include "weir.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/weir]
    args: [cni, remove, --cni-bin-dir, /host/opt/cni/bin, --cni-conf-dir, /host/etc/cni/net.d]
    securityContext:
      runAsUser: 0
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities:
        drop: [ALL]
      seccompProfile:
        type: RuntimeDefault
    volumeMounts:
      - name: cni-bin
        mountPath: /host/opt/cni/bin
      - name: cni-conf
        mountPath: /host/etc/cni/net.d
  {{- end }}
  - name: cleanup
    image: {{ include "weir.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/weir]
    args: [cleanup]
    securityContext:
      {{- include "weir.agentSecurity" . | nindent 6 }}
    volumeMounts:
      {{- include "weir.cleanupMounts" . | nindent 6 }}
containers:
  - name: hold
    image: {{ include "weir.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [/weir]
    args: [cleanup, --hold]
    securityContext:
      {{- include "weir.agentSecurity" . | nindent 6 }}
    resources:
      requests: {cpu: 1m, memory: 8Mi}
      limits: {memory: 64Mi}
    volumeMounts:
      {{- include "weir.cleanupMounts" . | nindent 6 }}
{{- end }}

{{- define "weir.cleanupMounts" -}}
- name: run
  mountPath: /run/weir
- name: netns
  mountPath: /run/netns
  mountPropagation: HostToContainer
- name: bpf
  mountPath: /sys/fs/bpf
  mountPropagation: HostToContainer
{{- end }}

{{- define "weir.volumes" -}}
- name: run
  hostPath: {path: /run/weir, type: DirectoryOrCreate}
- name: netns
  hostPath: {path: /run/netns, type: DirectoryOrCreate}
- name: bpf
  hostPath: {path: /sys/fs/bpf, type: Directory}
{{- if .Values.cni.chain }}
- name: cni-bin
  hostPath: {path: {{ .Values.cni.binDir }}, type: DirectoryOrCreate}
- name: cni-conf
  hostPath: {path: {{ .Values.cni.confDir }}, type: DirectoryOrCreate}
{{- end }}
{{- if not .Values.uninstall }}
- name: log
  hostPath: {path: /var/log/weir, type: DirectoryOrCreate}
- name: token
  projected:
    defaultMode: 0400
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- if .Values.metrics.tokenSecret }}
- name: metrics-token
  secret:
    secretName: {{ .Values.metrics.tokenSecret }}
{{- end }}
{{- if include "weir.observeTls" . }}
- name: observe-tls
  secret:
    secretName: {{ include "weir.observeSecret" . }}
    defaultMode: 0400
{{- end }}
{{- end }}
{{- end }}
