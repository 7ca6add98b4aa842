#!/bin/sh
# The API server: certificates are in ./cert, the audit policy in ./conf.
./kube-apiserver \
    --etcd-servers=https://10.4.7.12:2379,https://10.4.7.21:2379,https://10.4.7.22:2379 \
    --etcd-cafile=./cert/ca.pem \
    --etcd-certfile=./cert/client.pem \
    --etcd-keyfile=./cert/client-key.pem \
    --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction \
    --client-ca-file=./cert/ca.pem \
    --tls-cert-file=./cert/apiserver.pem \
    --tls-private-key-file=./cert/apiserver-key.pem \
    --kubelet-client-certificate=./cert/client.pem \
    --kubelet-client-key=./cert/client-key.pem \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file=./cert/service-account.pem \
    --service-account-signing-key-file=./cert/service-account-key.pem \
    --service-cluster-ip-range=192.168.0.0/16 \
    --audit-policy-file=./conf/audit.yaml \
    --audit-log-path="$K8S_ROOT/data/logs/kubernetes/kube-apiserver/audit.log" \
    --audit-log-maxsize=64 \
    --audit-log-maxbackup=4
