#!/bin/sh
# The controllers: of the copies on the control plane's machines one is elected leader.
./kube-controller-manager \
    --kubeconfig=./conf/controller-manager.kubeconfig \
    --leader-elect=true \
    --cluster-cidr=172.7.0.0/16 \
    --service-cluster-ip-range=192.168.0.0/16 \
    --root-ca-file=./cert/ca.pem \
    --service-account-private-key-file=./cert/service-account-key.pem \
    --use-service-account-credentials=true
