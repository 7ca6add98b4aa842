"""Write completions for bash, zsh and fish: `python -m docs.generate_completions`.

What can be typed comes from the declarations of options and commands; the names of processes and
groups come from the daemon that runs, when Tab is pressed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sdsuper.config import commandline
from sdsuper.config.commands import group
from sdsuper.ctl.commands import Command, all_commands
from sdsuper.ctl.options import OPTIONS

FOLDER = Path(__file__).parents[1] / "packaging" / "completions"

SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP ABRT ALRM WINCH"

Row = tuple[tuple[str, ...], str, str]
"""Names, argument ("" for none) and help of an option."""


def client_options() -> list[Row]:
    """Return the options of the client."""
    return [
        ((f"-{option.short}", f"--{option.name}") if option.short else (f"--{option.name}",),
         option.argument, option.help)
        for option in OPTIONS
        if option.help
    ]  # fmt: skip


def actions() -> list[Command]:
    """Return the client's commands that help shows."""
    return [command for command in all_commands().values() if command.forms]


def arguments(command: Command) -> str:
    """Return what may stand behind a command, as the words that the scripts know.

    names, members (`group:*`), groups, signals, actions, and literal words.
    """
    found: dict[str, None] = {}
    for form, said in command.forms:
        if not said:
            continue
        for word in form.split()[1:]:
            found.update(dict.fromkeys(_candidates(word)))
    return " ".join(found)


def _candidates(word: str) -> Sequence[str]:
    known = {
        "<name>": ["@names"],
        "<group>:*": ["@members"],
        "<group>": ["@groups"],
        "<signal>": ["@signals"],
        "<action>": ["@actions"],
    }
    if word in known:
        return known[word]
    if "<" in word or word == "...":
        return []
    return word.strip("[]").split("|")


BASH = """\
# Completion of sdsuperctl for bash. Written by docs/generate_completions.py; do not edit.

# What the daemon's status or avail shows: its first words, one a line.
_sdsuperctl_shown() {
    local name rest
    while read -r name rest; do
        # Anything else is an error's text.
        [[ $rest == [A-Z][A-Z]* || $rest == 'in use'* || $rest == 'avail '* ]] || continue
        [[ $name == *[!a-zA-Z0-9_.:@+-]* ]] || printf '%s\\n' "$name"
    done < <("$@" 2>/dev/null </dev/null)
}

_sdsuperctl_candidates() {
    local kind=$1 name
    shift
    case $kind in
    @names) _sdsuperctl_shown "$@" status ;;
    @members)
        while read -r name; do
            [[ $name != *:* ]] || printf '%s\\n' "${name%%:*}:*"
        done < <(_sdsuperctl_shown "$@" status) | sort -u
        ;;
    @groups)
        while read -r name; do printf '%s\\n' "${name%%:*}"; done \\
            < <(_sdsuperctl_shown "$@" avail) | sort -u
        ;;
    @signals) printf '%s\\n' @SIGNALS@ ;;
    @actions) printf '%s\\n' @ACTIONS@ ;;
    *) printf '%s\\n' "$kind" ;;
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
        @WITH_ARGUMENT@)
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
        @FILES@)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        @WITH_ARGUMENT@) return ;;
        esac
        if [[ $current == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W '@OPTIONS@' -- "$current")
        else
            mapfile -t COMPREPLY < <(compgen -W '@ACTIONS@' -- "$current")
        fi
        return
    fi
    case $action in
@CASES@
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
"""

BASH_DAEMON = """\
# Completion of sdsuperd for bash. Written by docs/generate_completions.py; do not edit.

_sdsuperd() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
    case $previous in
    @FILES@)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    @WITH_ARGUMENT@) return ;;
    config) words='@COMMANDS@' ;;
    *) words='config @OPTIONS@' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _sdsuperd sdsuperd supervisord
"""

ZSH = """\
#compdef sdsuperctl supervisorctl
# Written by docs/generate_completions.py; do not edit.

_sdsuperctl_shown() {
    setopt localoptions extendedglob
    local line
    for line in ${(f)"$($_sdsuperctl_client $1 2>/dev/null </dev/null)"}; do
        # Anything else is an error's text.
        [[ $line == [a-zA-Z0-9_.:@+-]##' '##([A-Z][A-Z]|'in use'|'avail ')* ]] || continue
        print -r -- ${line%% *}
    done
}

_sdsuperctl() {
    local curcontext=$curcontext state kind kinds
    local -a actions candidates _sdsuperctl_client
    typeset -A opt_args
    actions=(
@ACTIONS@
    )
    _arguments -C \\
@OPTIONS@
        '1:action:->action' \\
        '*::argument:->argument'
    case $state in
    action) _describe action actions ;;
    argument)
        _sdsuperctl_client=($service)
        [[ -z $opt_args[-c] ]] || _sdsuperctl_client+=(-c $opt_args[-c])
        [[ -z $opt_args[-s] ]] || _sdsuperctl_client+=(-s $opt_args[-s])
        case $words[1] in
@CASES@
        *) return 1 ;;
        esac
        for kind in ${=kinds}; do
            case $kind in
            @names) candidates+=(${(f)"$(_sdsuperctl_shown status)"}) ;;
            @members)
                candidates+=(${(u)${(M)${(f)"$(_sdsuperctl_shown status)"}:#*:*}/%:*/:*}) ;;
            @groups) candidates+=(${(u)${(f)"$(_sdsuperctl_shown avail)"}/%:*/}) ;;
            @signals) (( CURRENT > 2 )) || candidates+=(@SIGNALS@) ;;
            @actions) candidates+=(${actions%%:*}) ;;
            *) candidates+=($kind) ;;
            esac
        done
        compadd -a candidates
        ;;
    esac
}

_sdsuperctl "$@"
"""

ZSH_DAEMON = """\
#compdef sdsuperd supervisord
# Written by docs/generate_completions.py; do not edit.

_arguments \\
@OPTIONS@
    '1:command:(config)' \\
    '2:what:(@COMMANDS@)'
"""


def bash_client() -> str:
    """Return the script for the client."""
    cases = [f"    {command.name}) kinds='{arguments(command)}' ;;" for command in actions()]
    return _filled(
        BASH, client_options(), CASES="\n".join(cases), ACTIONS=_names(), SIGNALS=SIGNALS,
    )  # fmt: skip


def bash_daemon() -> str:
    """Return the script for the daemon."""
    return _filled(BASH_DAEMON, commandline.rows(), COMMANDS=" ".join(group.commands))


def _names() -> str:
    return " ".join(command.name for command in actions())


def _filled(template: str, options: Sequence[Row], **texts: str) -> str:
    texts["OPTIONS"] = " ".join(name for names, _, _ in options for name in names)
    taking = [names for names, argument, _ in options if argument]
    files = [names for names, argument, _ in options if argument in ("FILENAME", "DIRECTORY")]
    texts["WITH_ARGUMENT"] = " | ".join(name for names in taking for name in names)
    texts["FILES"] = " | ".join(name for names in files for name in names)
    for key, value in texts.items():
        template = template.replace(f"@{key}@", value)
    return template


def _quoted(plain: str) -> str:
    return plain.replace("'", "'\\''")


def zsh_client() -> str:
    """Return zsh's function for the client."""
    shown = [f"        '{command.name}:{_quoted(command.forms[0][1])}'" for command in actions()]
    cases = [f"        {command.name}) kinds='{arguments(command)}' ;;" for command in actions()]
    text = ZSH.replace("@ACTIONS@", "\n".join(shown)).replace("@CASES@", "\n".join(cases))
    text = text.replace("@OPTIONS@", _zsh_options(client_options(), 8))
    return text.replace("@SIGNALS@", SIGNALS)


def zsh_daemon() -> str:
    """Return zsh's function for the daemon."""
    text = ZSH_DAEMON.replace("@OPTIONS@", _zsh_options(commandline.rows(), 4))
    return text.replace("@COMMANDS@", " ".join(group.commands))


def _zsh_options(options: Sequence[Row], indent: int) -> str:
    lines = []
    for names, argument, said in options:
        told = _quoted(re.sub(r"([\[\]:])", r"\\\1", said))
        action = "_files" if argument in ("FILENAME", "DIRECTORY") else " "
        taken = f":{argument.lower()}:{action}" if argument else ""
        for name in names:
            others = f"({' '.join(names)})"
            lines.append(f"{' ' * indent}'{others}{name}[{told}]{taken}' \\")
    return "\n".join(lines)


FISH_SHOWN = {
    "@names": r"status 2>/dev/null | string match -r '^[\w.:@+-]+(?= +[A-Z]{4})'",
    "@groups": r"avail 2>/dev/null | string match -r '^[\w.@+-]+(?=(?::\S+)? +(?:in use|avail))'",
}


def fish_client() -> str:
    """Return fish's commands for the client."""
    lines = ["# Written by docs/generate_completions.py; do not edit.", "complete -c sdsuperctl -f"]
    for command in actions():
        told = _fish(command.forms[0][1])
        start = "complete -c sdsuperctl -n __fish_use_subcommand"
        lines.append(f"{start} -a {command.name} -d '{told}'")
    lines += _fish_options("sdsuperctl", client_options())
    for kind, shown in FISH_SHOWN.items():
        named = " ".join(command.name for command in actions() if kind in arguments(command))
        lines.append(_fish_behind(named, f"(sdsuperctl {shown} | sort -u)"))
    lines.append(_fish_behind("signal", SIGNALS))
    lines.append(_fish_behind("help", _names()))
    return "\n".join(lines) + "\n"


def _fish_behind(named: str, words: str) -> str:
    quoted = _fish(words)
    return f"complete -c sdsuperctl -n '__fish_seen_subcommand_from {named}' -a '{quoted}'"


def fish_daemon() -> str:
    """Return fish's commands for the daemon."""
    what = " ".join(group.commands)
    lines = [
        "# Written by docs/generate_completions.py; do not edit.",
        "complete -c sdsuperd -f",
        "complete -c sdsuperd -n __fish_use_subcommand -a config -d 'Look at a configuration'",
        f"complete -c sdsuperd -n '__fish_seen_subcommand_from config' -a '{what}'",
        *_fish_options("sdsuperd", commandline.rows()),
    ]
    return "\n".join(lines) + "\n"


def _fish(plain: str) -> str:
    return plain.replace("\\", "\\\\").replace("'", "\\'")


def _fish_options(command: str, options: Sequence[Row]) -> list[str]:
    lines = []
    for names, argument, said in options:
        kinds = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names
        )
        taken = {"": "", "FILENAME": " -rF", "DIRECTORY": " -rF"}.get(argument, " -x")
        lines.append(f"complete -c {command} {kinds}{taken} -d '{_fish(said)}'")
    return lines


SCRIPTS = {
    "sdsuperctl.bash": bash_client,
    "sdsuperd.bash": bash_daemon,
    "_sdsuperctl": zsh_client,
    "_sdsuperd": zsh_daemon,
    "sdsuperctl.fish": fish_client,
    "sdsuperd.fish": fish_daemon,
}


def main() -> None:
    """Write the scripts."""
    FOLDER.mkdir(exist_ok=True)
    for name, script in SCRIPTS.items():
        (FOLDER / name).write_text(script(), encoding="utf-8")


if __name__ == "__main__":
    main()
