#!/bin/sh
# Service addresses on this node, by ipvs.
./kube-proxy \
    --kubeconfig=./conf/kube-proxy.kubeconfig \
    --cluster-cidr=172.7.0.0/16 \
    --proxy-mode=ipvs \
    --ipvs-scheduler=nq \
    --hostname-override="$(hostname -f)"
