# SPDX-License-Identifier: MIT
#
# bash completion for tcpshim(8).

_tcpshim() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
    --site)
        mapfile -t COMPREPLY < <(compgen -d -- "$current"
            [[ -d /run/proxyd/sites && $current != */* ]] && cd /run/proxyd/sites && compgen -d -- "$current")
        return
        ;;
    --config | --control) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --access-log) mapfile -t COMPREPLY < <(compgen -W 'stderr journal' -- "$current"; compgen -f -- "$current"); return ;;
    --balance) mapfile -t COMPREPLY < <(compgen -W 'round_robin least_connections source_hash' -- "$current"); return ;;
    --proxy-protocol) mapfile -t COMPREPLY < <(compgen -W '1 2' -- "$current"); return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'error warning notice info debug' -- "$current"); return ;;
    --to) mapfile -t COMPREPLY < <(compgen -A hostname -- "$current"); return ;;
    --port | --instance) return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '--config --site --port --to --balance --proxy-protocol --instance --control --access-log --log-level --check-config --print-config --help --version' -- "$current")
}

complete -F _tcpshim tcpshim
