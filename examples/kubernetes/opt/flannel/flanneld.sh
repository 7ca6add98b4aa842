#!/bin/sh
# The pod network of this node. It reads its configuration from etcd: put it there first, under
# /coreos.com/network/config.
./flanneld \
    --etcd-endpoints=https://10.4.7.12:2379,https://10.4.7.21:2379,https://10.4.7.22:2379 \
    --etcd-cafile=./cert/ca.pem \
    --etcd-certfile=./cert/client.pem \
    --etcd-keyfile=./cert/client-key.pem \
    --subnet-file=./subnet.env \
    --iface=eth0 \
    --healthz-port=2401
