# Completion of sdsuperd for bash. Written by docs/generate_completions.py; do not edit.

_sdsuperd() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
    -c | --configuration | -d | --directory | -l | --logfile | -j | --pidfile | -q | --childlogdir)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    -c | --configuration | --profile_options | -a | --minfds | --minprocs | -d | --directory | -u | --user | -m | --umask | -l | --logfile | -y | --logfile_maxbytes | -z | --logfile_backups | -e | --loglevel | -j | --pidfile | -i | --identifier | -q | --childlogdir) return ;;
    config) words='check show sample' ;;
    *) words='config -c --configuration -h --help -v --version --profile_options -a --minfds --minprocs -d --directory -u --user -m --umask -l --logfile -y --logfile_maxbytes -z --logfile_backups -e --loglevel -j --pidfile -i --identifier -n --nodaemon -s --silent -q --childlogdir -k --nocleanup -t --strip_ansi' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _sdsuperd sdsuperd supervisord
