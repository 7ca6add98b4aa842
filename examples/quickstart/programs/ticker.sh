#!/bin/sh
# Says the time, each second.
n=0
while :; do
    n=$((n + 1))
    echo "tick $n at $(date +%T)"
    sleep 1
done
