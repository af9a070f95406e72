# Bash completion of livy-ha-ctl. Member ids are asked of the local daemon, for a second at most.
_livy_ha_ctl_ids() {
    livy-ha-ctl --json --timeout 1s status 2>/dev/null | sed -n 's/^ *"id": *"\([^"]*\)".*/\1/p'
}

_livy_ha_ctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command="" word i skip=0
    local commands="status watch active switchover pause resume restart drain undrain forget reload upgrade
        history config wait version"
    local options="--config --socket --url --json --timeout --help"

    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [ $skip = 1 ]; then
            skip=0
        elif [[ $word =~ ^(-c|-s|-u|--config|--socket|--url|--timeout|--for|--to)$ ]]; then
            skip=1
        elif [[ $word != -* ]]; then
            command=$word
            break
        fi
    done
    case $prev in
    -c | --config | -s | --socket)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    -u | --url) return ;;
    --timeout)
        mapfile -t COMPREPLY < <(compgen -W "10s 60s 5min" -- "$cur")
        return
        ;;
    --to)
        mapfile -t COMPREPLY < <(compgen -W "$(_livy_ha_ctl_ids)" -- "$cur")
        return
        ;;
    --for)
        if [ "$command" = wait ]; then
            mapfile -t COMPREPLY < <(compgen -W "active standby serving" -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W "10min 1h 1d" -- "$cur")
        fi
        return
        ;;
    esac
    case $command in
    "") options="$commands $options" ;;
    status | watch) options+=" --wide" ;;
    wait) options+=" --for" ;;
    switchover) options+=" --to --no-wait" ;;
    pause) options+=" --for --no-wait" ;;
    drain) options+=" --force --no-wait" ;;
    forget) options+=" --no-wait $(_livy_ha_ctl_ids)" ;;
    resume | restart | undrain | reload | upgrade) options+=" --no-wait" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}

complete -F _livy_ha_ctl livy-ha-ctl
