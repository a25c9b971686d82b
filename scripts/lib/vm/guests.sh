# shellcheck shell=bash
# Two guests on one network: each by a `scripts/vm` of its own, which is told the
# folder of the wire and its number. Expects $run, the options as they were given, and
# that all is prepared.
# shellcheck disable=SC2154 # the options, from scripts/vm

# run_guests: ends with guest 0, and exits with its status.
run_guests() {
    local number status=0 pids=() script=$PWD/scripts/vm
    for ((number = 0; number < guests; number++)); do
        # What a shell starts behind itself would not hear an interrupt.
        (cd "$here" && VM_WIRE=$run VM_NUMBER=$number exec "$script" "${given[@]}") &
        pids+=("$!")
    done
    wait "${pids[0]}" || status=$?
    kill "${pids[@]:1}" 2>/dev/null || true
    wait "${pids[@]:1}" 2>/dev/null || true
    exit "$status"
}

# add_wire: a network card, if there is a wire. What nobody hears is lost, as on a
# real one.
add_wire() {
    [[ -n $wire ]] || return 0
    arguments+=(-netdev "dgram,id=wire,local.type=unix,local.path=$wire/wire-$number,remote.type=unix,remote.path=$wire/wire-$((1 - number))"
        -device "virtio-net-pci,netdev=wire,mac=52:54:00:00:00:0$number")
}
