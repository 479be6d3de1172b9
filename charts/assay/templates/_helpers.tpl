{{- define "assay.labels" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: assay
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "assay.selector" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "assay.hub" -}}
{{- if ne .Values.role "member" }}yes{{ end }}
{{- end }}

{{- define "assay.member" -}}
{{- if ne .Values.role "hub" }}yes{{ end }}
{{- end }}

{{- define "assay.operatorImage" -}}
{{- with .Values.operator.image -}}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}
{{- else }}{{ printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Who writes to this cluster as a member: hubs elsewhere, and the operator here when it is both. */}}
{{- define "assay.writers" -}}
- kind: ServiceAccount
  name: assay-hub
  namespace: {{ .Release.Namespace }}
{{- if include "assay.hub" . }}
- kind: ServiceAccount
  name: assay-operator
  namespace: {{ .Release.Namespace }}
{{- end }}
{{- end }}
