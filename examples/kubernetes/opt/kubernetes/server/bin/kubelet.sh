#!/bin/sh
# The node's agent; containers are run by containerd, a service of its own.
./kubelet \
    --kubeconfig=./conf/kubelet.kubeconfig \
    --config=./conf/kubelet.yaml \
    --container-runtime-endpoint=unix:///run/containerd/containerd.sock \
    --hostname-override="$(hostname -f)"
