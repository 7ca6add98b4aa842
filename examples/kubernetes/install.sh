#!/usr/bin/env bash
# Lay the example out under $K8S_ROOT: the wrapper scripts in opt/, room for data and logs in data/.
# The ini files are not installed: who does that decides what runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${K8S_ROOT:?the directory to install into}" "${K8S_ETCD_USER:?the account that etcd runs as}"

mkdir -p "$K8S_ROOT" "$K8S_ROOT/data/etcd" "$K8S_ROOT/data/logs"
cp -R opt "$K8S_ROOT/"
ln -sfn "$(command -v etcd || echo /usr/bin/etcd)" "$K8S_ROOT/opt/etcd/etcd"

for program in etcd-server-{1,2,3} etcd-gateway flanneld \
    kubernetes/kube-{apiserver,controller-manager,scheduler,kubelet,proxy}; do
    mkdir -p "$K8S_ROOT/data/logs/$program"
done
if [[ $EUID -eq 0 ]]; then
    chown "$K8S_ETCD_USER" "$K8S_ROOT/data/etcd"
fi
