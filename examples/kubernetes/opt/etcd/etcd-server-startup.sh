#!/bin/sh
# Member $1 of an etcd cluster whose three members run on this machine, on loopback ports.
# There is no exec: this shell waits for etcd, and signals that it gets do not reach etcd.
member=$1
port() { echo $((K8S_PORT + 10 * $1 + $2)); } # of member $1: $2 is 0 for clients, 1 for peers

./etcd --name="etcd-server-$member" \
    --data-dir="$K8S_ROOT/data/etcd/etcd-server-$member" \
    --listen-client-urls="http://127.0.0.1:$(port "$member" 0)" \
    --advertise-client-urls="http://127.0.0.1:$(port "$member" 0)" \
    --listen-peer-urls="http://127.0.0.1:$(port "$member" 1)" \
    --initial-advertise-peer-urls="http://127.0.0.1:$(port "$member" 1)" \
    --initial-cluster="etcd-server-1=http://127.0.0.1:$(port 1 1),\
etcd-server-2=http://127.0.0.1:$(port 2 1),\
etcd-server-3=http://127.0.0.1:$(port 3 1)" \
    --initial-cluster-state=new \
    --quota-backend-bytes=8000000000
