#!/bin/sh
# One address in front of the three members; connections go to those that answer.
port() { echo $((K8S_PORT + 10 * $1)); }

./etcd gateway start \
    --listen-addr="127.0.0.1:$K8S_PORT" \
    --endpoints="127.0.0.1:$(port 1),127.0.0.1:$(port 2),127.0.0.1:$(port 3)" \
    --retry-delay=1s
