# SPDX-License-Identifier: MIT
#
# bash completion for proxyctl(1).

_proxyctl_options() {
    local common='--control --json --help'
    case $1 in
    sessions) echo "--limit $common" ;;
    explain) echo "--port --alpn --from --protocol $common" ;;
    events) echo "--count $common" ;;
    'site add') echo '--owner --group --sites --control --help' ;;
    'site list') echo '--sites --control --json --help' ;;
    '') echo '--control --json --help --version' ;;
    *) echo "$common" ;;
    esac
}

# The command that has been typed so far: "", "status", "site add"...
_proxyctl_command() {
    local i word command=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        --control | --limit | --port | --alpn | --from | --protocol | --count | --owner | --group | --sites) ((i++)) ;;
        -*) ;;
        *)
            if [[ -z $command ]]; then
                command=$word
            elif [[ $command == site ]]; then
                command="site $word"
            fi
            ;;
        esac
    done
    echo "$command"
}

_proxyctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command
    COMPREPLY=()
    case $previous in
    --control) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --sites) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --owner) mapfile -t COMPREPLY < <(compgen -u -- "$current"); return ;;
    --group) mapfile -t COMPREPLY < <(compgen -g -- "$current"); return ;;
    --protocol) mapfile -t COMPREPLY < <(compgen -W 'tls http ssh' -- "$current"); return ;;
    --alpn) mapfile -t COMPREPLY < <(compgen -W 'h2 http/1.1 h2,http/1.1 acme-tls/1' -- "$current"); return ;;
    --limit | --port | --from | --count) return ;;
    esac
    command=$(_proxyctl_command)
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_proxyctl_options "$command")" -- "$current")
        return
    fi
    case $command in
    '') mapfile -t COMPREPLY < <(compgen -W 'status sites sessions routes backends explain events reload upgrade log-level metrics site' -- "$current") ;;
    site) mapfile -t COMPREPLY < <(compgen -W 'add list' -- "$current") ;;
    log-level) mapfile -t COMPREPLY < <(compgen -W 'error warning notice info debug' -- "$current") ;;
    esac
}

complete -F _proxyctl proxyctl
