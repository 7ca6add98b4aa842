# Completion of sdsuperctl for bash. Written by docs/generate_completions.py; do not edit.

# What the daemon's status or avail shows: its first words, one a line.
_sdsuperctl_shown() {
    local name rest
    while read -r name rest; do
        # Anything else is an error's text.
        [[ $rest == [A-Z][A-Z]* || $rest == 'in use'* || $rest == 'avail '* ]] || continue
        [[ $name == *[!a-zA-Z0-9_.:@+-]* ]] || printf '%s\n' "$name"
    done < <("$@" 2>/dev/null </dev/null)
}

_sdsuperctl_candidates() {
    local kind=$1 name
    shift
    case $kind in
    @names) _sdsuperctl_shown "$@" status ;;
    @members)
        while read -r name; do
            [[ $name != *:* ]] || printf '%s\n' "${name%%:*}:*"
        done < <(_sdsuperctl_shown "$@" status) | sort -u
        ;;
    @groups)
        while read -r name; do printf '%s\n' "${name%%:*}"; done \
            < <(_sdsuperctl_shown "$@" avail) | sort -u
        ;;
    @signals) printf '%s\n' HUP INT QUIT KILL USR1 USR2 TERM CONT STOP ABRT ALRM WINCH ;;
    @actions) printf '%s\n' status usage why start stop restart signal pid avail reread update add remove tail maintail clear fg reload reexec shutdown version open exit quit help ;;
    *) printf '%s\n' "$kind" ;;
    esac
}

_sdsuperctl() {
    local words current previous action='' index kinds kind candidate candidates=()
    local -a client=()
    # Split at blanks alone: for bash the colon of group:name ends a word.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} != *[[:blank:]] ]] || words+=('')
    current=${words[-1]} previous=''
    client=("${words[0]}")
    for ((index = 1; index < ${#words[@]} - 1; index++)); do
        previous=${words[index]}
        case $previous in
        -c | --configuration | -s | --serverurl | -u | --username | -p | --password | -r | --history_file)
            client+=("$previous" "${words[index + 1]}")
            ((++index < ${#words[@]} - 1)) || break
            previous=''
            ;;
        -*) ;;
        *)
            action=$previous
            break
            ;;
        esac
    done
    COMPREPLY=()
    if [[ -z $action ]]; then
        case $previous in
        -c | --configuration | -r | --history_file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        -c | --configuration | -s | --serverurl | -u | --username | -p | --password | -r | --history_file) return ;;
        esac
        if [[ $current == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W '-c --configuration -h --help -i --interactive -s --serverurl -u --username -p --password -r --history_file --json' -- "$current")
        else
            mapfile -t COMPREPLY < <(compgen -W 'status usage why start stop restart signal pid avail reread update add remove tail maintail clear fg reload reexec shutdown version open exit quit help' -- "$current")
        fi
        return
    fi
    case $action in
    status) kinds='@names @members' ;;
    usage) kinds='@names @members' ;;
    why) kinds='@names @members all' ;;
    start) kinds='@names @members all' ;;
    stop) kinds='@names @members all' ;;
    restart) kinds='@names @members all' ;;
    signal) kinds='@signals @names @members all' ;;
    pid) kinds='@names all' ;;
    avail) kinds='' ;;
    reread) kinds='' ;;
    update) kinds='all @groups --keep --dry-run' ;;
    add) kinds='@groups' ;;
    remove) kinds='@groups' ;;
    tail) kinds='@names stdout stderr -f' ;;
    maintail) kinds='-f' ;;
    clear) kinds='@names @members all' ;;
    fg) kinds='@names' ;;
    reload) kinds='' ;;
    reexec) kinds='' ;;
    shutdown) kinds='' ;;
    version) kinds='--verbose' ;;
    open) kinds='' ;;
    exit) kinds='' ;;
    quit) kinds='' ;;
    help) kinds='@actions' ;;
    *) return ;;
    esac
    if [[ $action == signal ]]; then
        # The signal comes first.
        if ((index == ${#words[@]} - 2)); then kinds=@signals; else kinds=${kinds/@signals/}; fi
    fi
    for kind in $kinds; do
        while read -r candidate; do
            [[ $candidate != "$current"* ]] || candidates+=("$candidate")
        done < <(_sdsuperctl_candidates "$kind" "${client[@]}")
    done
    # Where the colon ends words, what stands before it is there already.
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        candidates=("${candidates[@]#"${current%"${current##*:}"}"}")
    fi
    COMPREPLY=("${candidates[@]}")
}

complete -F _sdsuperctl sdsuperctl supervisorctl
