#!/bin/bash
# The first process of a node: in the node's network namespace, and in mount, process and host name
# namespaces of its own. It mounts what a node has, starts its services, and takes in orphans, as
# an init does. Killed, it takes all of the node's processes along.
#
#   node-init.sh NAME STATE BINARIES PACKAGES      (nodes.py starts it)
set -eu
name=$1 state=$2 binaries=$3 packages=$4
disk=$state/$name
logs=$state/logs
hostname "$name"

# What is mounted here is the node's; what containers mount on its /run is seen by all of it.
mount -t proc proc /proc
mkdir -p "$disk"/{run,cgroup,lib-cni,opt-cni,etc-cni,kubelet,containerd,log,etc,tunables}
mount --rbind /sys/fs/cgroup "$disk/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$disk/cgroup" /sys/fs/cgroup
umount -l "$disk/cgroup"
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs "$disk/run"
mkdir -p "$disk/run/lock"
mkdir -p /opt/cni /etc/cni /var/lib/cni /var/lib/kubelet /var/lib/containerd
mount --bind "$disk/lib-cni" /var/lib/cni
mount --bind "$disk/opt-cni" /opt/cni
mount --bind "$disk/etc-cni" /etc/cni
mount --bind "$disk/kubelet" /var/lib/kubelet
mount --bind "$disk/containerd" /var/lib/containerd
mount --bind "$disk/log" /var/log
mount --bind "$disk/run" /run
# The kubelet writes these, and they are the whole machine's: it finds them as it wants them.
tunable() {
    echo "$2" >"$disk/tunables/${1//\//.}"
    mount --bind "$disk/tunables/${1//\//.}" "/proc/sys/$1"
}
tunable vm/overcommit_memory 1
tunable vm/panic_on_oom 0
tunable kernel/panic 10
tunable kernel/panic_on_oops 1
tunable kernel/keys/root_maxkeys 1000000
tunable kernel/keys/root_maxbytes 25000000
mount --make-rshared /

export PATH=$packages/containerd/usr/bin:$packages/runc/usr/sbin:$packages/conntrack/usr/sbin:$packages/socat/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin
"$packages/containerd/usr/bin/containerd" --config "$disk/etc/containerd.toml" >>"$logs/$name-containerd.log" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
"$binaries/kube-proxy" --config "$disk/etc/kube-proxy.yaml" >>"$logs/$name-kube-proxy.log" 2>&1 &
"$binaries/kubelet" --config "$disk/etc/kubelet.yaml" --kubeconfig "$state/$name.kubeconfig" \
    --hostname-override "$name" --node-ip "$(cat "$disk/etc/address")" --root-dir /var/lib/kubelet --cert-dir /var/lib/kubelet/pki \
    --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock \
    --pod-infra-container-image registry.k8s.io/pause:3.2 --cni-bin-dir /opt/cni/bin --cni-conf-dir /etc/cni/net.d \
    >>"$logs/$name-kubelet.log" 2>&1 &
while true; do wait || true; sleep 1; done
