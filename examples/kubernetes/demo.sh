#!/usr/bin/env bash
# Run a three-member etcd cluster and a gateway under sdsuperd, kill parts of it, watch it heal.
#
# Everything lives under $K8S_ROOT (a fresh directory in /tmp unless set) and on loopback ports from
# $K8S_PORT up (23790). At the end the daemon is stopped and a directory that was made is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

SUPERVISORD=${SUPERVISORD:-sdsuperd}
SUPERVISORCTL=${SUPERVISORCTL:-sdsuperctl}
export K8S_PORT=${K8S_PORT:-23790}
export ETCDCTL_API=3
GATEWAY=127.0.0.1:$K8S_PORT
MEMBERS=127.0.0.1:$((K8S_PORT + 10)),127.0.0.1:$((K8S_PORT + 20)),127.0.0.1:$((K8S_PORT + 30))

if [[ -z ${K8S_ETCD_USER-} ]]; then
    K8S_ETCD_USER=$(id -un)
    if [[ $EUID -eq 0 ]] && id etcd >/dev/null 2>&1; then K8S_ETCD_USER=etcd; fi
fi
export K8S_ETCD_USER

made=
if [[ -z ${K8S_ROOT-} ]]; then
    K8S_ROOT=$(mktemp -d /tmp/sdetcd.XXXXXX)
    chmod 755 "$K8S_ROOT"
    made=$K8S_ROOT
fi
export K8S_ROOT

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

ctl() { "$SUPERVISORCTL" -c sdsuper.conf "$@"; }

# Run a command until it succeeds; after so many seconds, give up.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            echo "gave up: $*" >&2
            tail -n 20 "$K8S_ROOT"/data/logs/etcd-*/*.log >&2 || true
            exit 1
        fi
        sleep 0.1
    done
}

running() { [[ -z $(ctl status "$@" | grep -v RUNNING) ]]; }

healthy() { etcdctl --endpoints="$MEMBERS" endpoint health; }

# The processes of this demonstration's etcd programs: pid and command of each.
etcds() {
    local entry command
    for entry in /proc/[0-9]*; do
        command=$(tr '\0' ' ' 2>/dev/null <"$entry/cmdline") || continue
        case $command in
        "./etcd "*"$K8S_ROOT/"* | "./etcd gateway "*"$GATEWAY"*) echo "${entry#/proc/} $command" ;;
        esac
    done
}

# The etcd of a member: its pid, or nothing.
etcd_of() { etcds | awk -v name="--name=$1" '$3 == name { print $1 }'; }

changed() { [[ -n $(etcd_of "$1") && $(etcd_of "$1") != "$2" ]]; }

finish() {
    local status=$?
    ctl shutdown >/dev/null 2>&1 || true
    wait
    for pid in $(etcds | awk '{ print $1 }'); do kill -9 "$pid" || true; done
    if [[ -n $made ]]; then rm -rf "$made"; fi
    exit "$status"
}
trap finish EXIT

step "Start the daemon with nothing to do"
./install.sh
mkdir -p "$K8S_ROOT/sdsuper.d"
"$SUPERVISORD" -n -c sdsuper.conf &
eventually 10 ctl pid

step "Drop the ini files in, and let the daemon update"
cp sdsuper.d/etcd-*.ini "$K8S_ROOT/sdsuper.d/"
ctl update
eventually 60 healthy
eventually 30 running
ctl status
etcdctl --endpoints="$MEMBERS" endpoint health 2>&1

step "Write keys through the gateway"
for n in 1 2 3; do
    echo "/demo/$n: $(etcdctl --endpoints="$GATEWAY" put "/demo/$n" "value $n")"
done

victim=etcd-server-2
old=$(etcd_of $victim)
step "kill -9 of $victim's etcd ($old): its wrapper ends too, and both are replaced"
kill -9 "$old"
eventually 30 changed $victim "$old"
eventually 60 healthy
eventually 30 running $victim
ctl status $victim
echo "etcd is now $(etcd_of $victim), and the keys are there:"
etcdctl --endpoints="$GATEWAY" get --prefix /demo/

victim=etcd-server-3
old=$(etcd_of $victim)
wrapper=$(ctl pid $victim)
step "kill -9 of $victim's wrapper ($wrapper) alone: its etcd ($old) goes before the next one comes"
kill -9 "$wrapper"
eventually 30 changed $victim "$old"
eventually 60 healthy
if [[ -e /proc/$old ]] && [[ $(tr '\0' ' ' <"/proc/$old/cmdline") == *"$victim"* ]]; then
    echo "the old etcd is still there" >&2
    exit 1
fi
if grep -q 'address already in use' "$K8S_ROOT"/data/logs/$victim/*.log; then
    echo "two of $victim ran at once" >&2
    exit 1
fi
echo "etcd is now $(etcd_of $victim); its ports were free when it came"

step "Stop all: the wrappers forward no signal, and yet no etcd is left"
ctl stop all
left=$(etcds)
if [[ -n $left ]]; then
    echo "left behind: $left" >&2
    exit 1
fi
echo "processes of etcd: none"
