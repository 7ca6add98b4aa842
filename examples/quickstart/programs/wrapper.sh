#!/bin/sh
# Without `exec`, this shell stays, and the program below is its child.
echo "wrapper $$ starts the real program"
sh -c 'echo "the real program is $$"; while :; do sleep 60; done'
