# SPDX-License-Identifier: MIT
#
# bash completion for proxyrun(1).

_proxyrun() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} i
    COMPREPLY=()
    # Behind the options stands the server's own command line.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --site | --port | --control) ((i++)) ;;
        --) ((i++)); break ;;
        -*) ;;
        *) break ;;
        esac
    done
    if ((i < COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    case $previous in
    --site)
        mapfile -t COMPREPLY < <(compgen -d -- "$current"
            [[ -d /run/proxyd/sites && $current != */* ]] && cd /run/proxyd/sites && compgen -d -- "$current")
        return
        ;;
    --control) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --port) return ;;
    esac
    if [[ $current == -* && ${COMP_WORDS[COMP_CWORD - 1]} != -- ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--site --port --keep --takeover --trace --control --check --help --version' -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    fi
}

complete -F _proxyrun proxyrun
