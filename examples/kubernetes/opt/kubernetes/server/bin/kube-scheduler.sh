#!/bin/sh
# The scheduler: of the copies on the control plane's machines one is elected leader.
./kube-scheduler \
    --kubeconfig=./conf/scheduler.kubeconfig \
    --leader-elect=true
