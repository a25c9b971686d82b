# shellcheck shell=bash
# NVMe disks that come and go while the guest runs, over QMP. Expects a started
# machine.
# shellcheck disable=SC2154 # descriptors and options, from machine.sh and scripts/vm

# How long QEMU may take for an answer, and a guest to let go of a disk.
qmp_limit=10
unplug_limit=30

# Which serial is in which slot.
declare -A slot_of=()
qmp_ready=''

# qmp COMMAND [ARGUMENTS]: asks QEMU and waits for its answer; the reason of a
# refusal is in $refusal.
qmp() {
    local line
    printf '{"execute":"%s"%s}\n' "$1" "${2:+,\"arguments\":$2}" >&"$qmp_in"
    while read -r -t "$qmp_limit" -u "$qmp_out" line; do
        case $line in
        '{"return"'*) return 0 ;;
        '{"error"'*)
            refusal=$(sed -n 's/.*"desc": *"\(.*\)".*/\1/p' <<<"$line")
            return 1
            ;;
        esac
    done
    refusal='QEMU does not answer'
    return 1
}

# Waits for QEMU's word that a device is gone.
wait_gone() {
    local line deadline=$((SECONDS + unplug_limit))
    while ((SECONDS < deadline)) && read -r -t $((deadline - SECONDS)) -u "$qmp_out" line; do
        [[ $line != *DEVICE_DELETED*"\"device\": \"nvme-$1\""* ]] || return 0
    done
    refusal='the guest does not let go of it'
    return 1
}

start_qmp() {
    [[ -n $qmp_ready ]] || qmp qmp_capabilities || return 1
    qmp_ready=yes
}

# plug SERIAL SIZE: a disk in the first free slot.
plug() {
    local serial=$1 size=$2 slot file=$disk_folder/nvme-$1.img
    start_qmp || return 1
    for ((slot = 0; slot < nvme; slot++)); do
        [[ " ${slot_of[*]} " == *" $slot "* ]] || break
    done
    if ((slot >= nvme)); then
        refusal="all $nvme slots are taken; the option --nvme makes more"
        return 1
    fi
    if [[ -n ${slot_of[$serial]:-} ]]; then
        refusal="\`$serial\` is already plugged in"
        return 1
    fi
    mkdir -p "$disk_folder"
    [[ -e $file ]] || truncate --size="$size" "$file"
    qmp blockdev-add "{\"node-name\":\"node-$serial\",\"driver\":\"raw\",\"cache\":{\"direct\":true},\"file\":{\"driver\":\"file\",\"filename\":\"$file\",\"cache\":{\"direct\":true}}}" || return 1
    if ! qmp device_add "{\"driver\":\"nvme\",\"id\":\"nvme-$serial\",\"serial\":\"$serial\",\"drive\":\"node-$serial\",\"bus\":\"rp$slot\"}"; then
        local reason=$refusal
        qmp blockdev-del "{\"node-name\":\"node-$serial\"}" || true
        refusal=$reason
        return 1
    fi
    slot_of[$serial]=$slot
}

# unplug SERIAL: asks the guest for it and waits until it is out.
unplug() {
    local serial=$1
    if [[ -z ${slot_of[$serial]:-} ]]; then
        refusal="\`$serial\` is not plugged in"
        return 1
    fi
    qmp device_del "{\"id\":\"nvme-$serial\"}" && wait_gone "$serial" &&
        qmp blockdev-del "{\"node-name\":\"node-$serial\"}" || return 1
    unset "slot_of[$serial]"
}

# answer VERB WORDS…: what a helper in the guest asked for.
answer() {
    local verb=$1 serial=${2:-} size=${3:-1G} refusal=''
    if [[ ! $serial =~ ^[A-Za-z0-9_-]{1,20}$ || ! $size =~ ^[0-9]+[KMGT]?$ ]]; then
        refusal='a serial has 1 to 20 letters, digits, dashes and underscores, a size is like 1G'
    elif ((nvme == 0)); then
        refusal='there are no slots; the option --nvme makes them'
    elif "$verb" "$serial" "$size"; then
        echo ok >&"$answers"
        return
    fi
    echo "error $refusal" >&"$answers"
}
