"""What runs in a cluster: the configuration files and the command line of every program.

One node, everything in the cluster's own network, process and mount namespaces. The settings that
differ from a usual installation do so to start fast and to idle cheaply; docs in the README.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fleet import cgroups
from fleet.certificates import Authority, kubeconfig, signing_pair, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

    from fleet.state import ClusterPlan

API_PORT = 6443
CLUSTER_DOMAIN = "cluster.local"
PAUSE_IMAGE = "localhost/pause:1"
ETCD = "http://127.0.0.1:2379"


def write_configuration(plan: ClusterPlan, programs: Path) -> Path:
    """Write all files that the cluster's programs read; return the supervisor's specification.

    ``programs`` is the directory with one link per program (``kubelet``, ``etcd``, ...).
    """
    for name in ("pki", "log", "stopped", "cni", "volumes", "kubelet", "varlog"):
        (plan.directory / name).mkdir(parents=True, exist_ok=True)
    (plan.directory / "resolv.conf").write_text("")
    _write_credentials(plan)
    _write_json(plan.directory / "kubelet.json", _kubelet(plan))
    _write_json(plan.directory / "kube-proxy.json", _kube_proxy(plan))
    _write_json(plan.directory / "cni" / "10-assay.conflist", _container_network(plan))
    (plan.directory / "containerd.toml").write_text(_containerd(plan))
    spec = {
        "directory": str(plan.directory),
        "mounts": _mounts(plan),
        "programs": _programs(plan, programs),
    }
    path = plan.directory / "supervisor.json"
    _write_json(path, spec)
    return path


def _write_credentials(plan: ClusterPlan) -> None:
    pki = plan.directory / "pki"
    network = plan.network
    authority = Authority(plan.full_name)
    authority.pair.write(pki, "ca")
    authority.issue(
        "kube-apiserver",
        names=[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
        ],
        addresses=[network.node_address, network.kubernetes_service, "127.0.0.1"],
    ).write(pki, "apiserver")
    authority.issue("apiserver", organization="system:masters").write(pki, "kubelet-client")
    private, public = signing_pair()
    (pki / "service-accounts.key").write_bytes(private)
    (pki / "service-accounts.pub").write_bytes(public)
    server = f"https://{network.node_address}:{API_PORT}"
    users = {
        "admin": ("admin", "system:masters"),
        # Without an own identity per controller: 40 service accounts fewer to make at the start.
        "controller-manager": ("system:kube-controller-manager", "system:masters"),
        "scheduler": ("system:kube-scheduler", None),
        "kubelet": (f"system:node:{plan.node}", "system:nodes"),
        "kube-proxy": ("system:kube-proxy", None),
    }
    for name, (user, organization) in users.items():
        pair = authority.issue(user, organization=organization)
        config = kubeconfig(server, authority.pair.certificate, pair, f"{plan.fleet}-{plan.name}")
        write_kubeconfig(plan.directory / f"{name}.kubeconfig", config)
        if name == "admin":
            pair.write(pki, "admin")


def _mounts(plan: ClusterPlan) -> list[list[str]]:
    """Private mounts: what programs leave in fixed places then neither clashes nor stays."""
    return [
        [
            "sh",
            "-c",
            "awk '$5 ~ \"^/run/netns\" {print $5}' /proc/self/mountinfo | sort -r "
            "| xargs -r -n1 umount --lazy",
        ],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
        ["mount", "--bind", str(plan.directory / "varlog"), "/var/log"],
        # A pod may ask for mounts to be passed on in both directions.
        ["mount", "--make-rshared", "/"],
    ]


def _programs(plan: ClusterPlan, programs: Path) -> list[dict[str, Any]]:
    pki, directory = plan.directory / "pki", plan.directory
    network = plan.network

    def kubeconfig_of(name: str) -> str:
        return f"--kubeconfig={directory / name}.kubeconfig"

    commands = {
        "etcd": [
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            f"--etcd-servers={ETCD}",
            f"--advertise-address={network.node_address}",
            f"--secure-port={API_PORT}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--service-account-key-file={pki / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={network.service_cidr}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--profiling=false",
        ],
        "kube-controller-manager": [
            kubeconfig_of("controller-manager"),
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ],
        "kube-scheduler": [
            kubeconfig_of("scheduler"),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ],
        "kubelet": [
            f"--config={directory / 'kubelet.json'}",
            kubeconfig_of("kubelet"),
            f"--root-dir={directory / 'kubelet'}",
            f"--hostname-override={plan.node}",
            f"--node-ip={network.node_address}",
            f"--cert-dir={directory / 'kubelet-pki'}",
        ],
        "kube-proxy": [
            f"--config={directory / 'kube-proxy.json'}",
            f"--hostname-override={plan.node}",
        ],
    }
    after = {
        "kubelet": str(plan.containerd_socket),
        "kube-apiserver": str(directory / "etcd" / "member" / "wal"),
    }
    entries: list[dict[str, Any]] = [
        {
            "name": "containerd",
            "argv": ["/usr/bin/containerd", "--config", str(directory / "containerd.toml")],
        }
    ]
    for name, flags in commands.items():
        argv = [str(programs / name), *flags]
        entries.append({"name": name, "argv": argv, "after": after.get(name)})
    return entries


def _kubelet(plan: ClusterPlan) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plan.directory / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "address": plan.network.node_address,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{plan.full_name}/{cgroups.PODS}",
        "failCgroupV1": False,
        "failSwapOn": False,
        # What a Secret says reaches pods in seconds, which by default takes a minute and a half.
        "syncFrequency": "10s",
        "containerRuntimeEndpoint": f"unix://{plan.containerd_socket}",
        "clusterDNS": [plan.network.dns_service],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(plan.directory / "resolv.conf"),
        # Fleets share one disk and one memory: a node under pressure would evict for its neighbours.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "0s",
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": str(plan.directory / "kubelet" / "plugins-exec"),
        "serializeImagePulls": False,
        "registerNode": True,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m",
        "volumeStatsAggPeriod": "10m",
        "shutdownGracePeriod": "0s",
        "logging": {"verbosity": 0},
    }


def _kube_proxy(plan: ClusterPlan) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(plan.directory / "kube-proxy.kubeconfig")},
        "mode": "nftables",
        "clusterCIDR": plan.network.pod_cidr,
        "bindAddress": "127.0.0.1",
        "conntrack": {"maxPerCore": 0},
        "nodePortAddresses": ["primary"],
    }


def _container_network(plan: ClusterPlan) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "assay",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": plan.network.pod_cidr}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd(plan: ClusterPlan) -> str:
    disabled = [
        "io.containerd.internal.v1.opt",
        "io.containerd.internal.v1.tracing",
        "io.containerd.tracing.processor.v1.otlp",
        *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")),
    ]
    return f"""version = 2
root = "{plan.directory}/containerd"
state = "/run/containerd"
disabled_plugins = {json.dumps(disabled)}
oom_score = 0

[grpc]
address = "{plan.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
disable_apparmor = true
disable_tcp_service = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{plan.directory}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1))
