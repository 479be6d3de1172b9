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

{{/* Where helm test makes its ModelDeployment: where the operator looks, and a hub may write. */}}
{{- define "assay.testNamespace" -}}
{{- .Values.test.namespace | default (first (concat .Values.operator.namespaces .Values.member.namespaces (list "ml"))) }}
{{- end }}

{{/* The namespaces of a list, as NetworkPolicyPeers. */}}
{{- define "assay.peers" -}}
{{- range . }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . }}}
{{- end }}
{{- end }}

{{/* Where a policy holds: a ValidatingAdmissionPolicy's binding; (dict "name" "root"). */}}
{{- define "assay.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "assay.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: {{ toJson .root.Values.policies.actions }}
  {{- with .root.Values.policies.namespaceSelector }}
  matchResources:
    namespaceSelector:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end }}

{{/* What all policies begin with; (dict "name" "root"). */}}
{{- define "assay.policy" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}
  labels:
    {{- include "assay.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [assay.dev]
        apiVersions: ["*"]
        operations: [CREATE, UPDATE]
        resources: [modeldeployments]
{{- end }}

{{/* The match condition of those that are about the spec: others write metadata of what is there. */}}
{{- define "assay.policySpecChanges" -}}
matchConditions:
  - name: the-spec-changes
    expression: oldObject == null || object.spec != oldObject.spec
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
