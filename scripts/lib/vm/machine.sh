# shellcheck shell=bash
# The machine: QEMU's command line, its start and its end. Expects $run, a folder
# of its own, and the kernel prepared.
# shellcheck disable=SC2154 # $run and the options, from scripts/vm
# shellcheck disable=SC2034 # what start_machine opens is for the others

# The longest a probe for KVM may take; a guest under TCG gets there in 4 s.
probe_limit=10

accelerator=tcg

# prepare_accelerator: `kvm` where a guest came up with it, else `tcg`. /dev/kvm
# alone says nothing: there are machines that have it and hang. The verdict is
# kept for as long as kernel and QEMU stay the same.
prepare_accelerator() {
    local key probe=$vm_cache/probe
    [[ -w /dev/kvm ]] || return 0
    key="$(uname -r), $(qemu-system-x86_64 --version | head -n 1)"
    if [[ $(head -n 1 "$vm_cache/accelerator" 2>/dev/null) != "$key" ]]; then
        rm -f "$probe"
        timeout --kill-after=2 "$probe_limit" qemu-system-x86_64 -accel kvm -machine q35 -cpu max -m 512M \
            -nodefaults -no-user-config -display none -no-reboot -serial "file:$probe" \
            -kernel "$kernel_image" -initrd "$initramfs" \
            -append 'console=ttyS0 quiet panic=-1 vm.probe' </dev/null >/dev/null 2>&1 || true
        ! grep -qs vm-probe-passed "$probe" || accelerator=kvm
        printf '%s\n' "$key" "$accelerator" >"$vm_cache/accelerator"
        rm -f "$probe"
    fi
    accelerator=$(tail -n 1 "$vm_cache/accelerator")
}

# add_disk ID FILE CACHE: one on virtio, whose serial is its ID.
add_disk() {
    arguments+=(-drive "id=$1,if=none,format=raw,discard=unmap,file=${2//,/,,},cache=$3"
        -device "virtio-blk-pci,drive=$1,serial=$1")
}

# The folder of disks, and those of `--disk` in it; one that is there is kept.
make_disks() {
    local number file
    truncate --size=16G "$run/scratch.img"
    mkfs.ext4 -q -F -O project,quota -E quotatype=prjquota,nodiscard "$run/scratch.img"
    add_disk vm-scratch "$run/scratch.img" unsafe
    mkdir -p "$disk_folder"
    for number in "${!disks[@]}"; do
        file=$disk_folder/disk-$number.img
        [[ -e $file ]] || truncate --size="${disks[number]}" "$file"
        add_disk "vm-disk-$number" "$file" none
    done
}

# start_machine: QEMU as a child that dies with this shell. Sets $machine.
#
# Three ports, all of them raw: output, errors, and a line for both directions
# ($control/in, $control/out). $alive is open for as long as the machine is.
start_machine() {
    local arguments=() slot accel=$accelerator
    [[ $accel != tcg ]] || accel+=,thread=multi
    mkfifo "$run"/{ctl,qmp}.{in,out}
    make_disks
    for ((slot = 0; slot < nvme; slot++)); do
        arguments+=(-device "pcie-root-port,id=rp$slot,chassis=$((slot + 1)),slot=$((slot + 1))")
    done
    add_wire
    # Opened for both directions, so that nobody waits for the other side.
    exec {events}<>"$run/ctl.out" {answers}<>"$run/ctl.in" {qmp_in}<>"$run/qmp.in" {qmp_out}<>"$run/qmp.out"
    exec {out}> >(pump_output)
    out_pump=$!
    exec {err}> >(exec cat >&2)
    err_pump=$!
    exec {alive}> >(cat >/dev/null; echo ended >&"$events")
    # A check of the timer at boot fails where the host has no time for the guest.
    setpriv --pdeathsig KILL qemu-system-x86_64 -accel "$accel" \
        -machine q35 -cpu max -smp "$cpus" -m "$memory" \
        -nodefaults -no-user-config -display none -no-reboot -serial "file:$run/console" \
        -kernel "$kernel_image" -initrd "$initramfs" \
        -append "console=ttyS0 quiet panic=-1 oops=panic apparmor=0 no_timer_check vm.run=$run $append" \
        -fsdev local,id=root,path=/,security_model=none,multidevs=remap,readonly=on \
        -device virtio-9p-pci,fsdev=root,mount_tag=hostroot \
        -device virtio-serial-pci \
        -add-fd "fd=$out,set=1" -chardev file,id=out,path=/dev/fdset/1,append=on \
        -device virtserialport,name=vm-out,chardev=out \
        -add-fd "fd=$err,set=2" -chardev file,id=err,path=/dev/fdset/2,append=on \
        -device virtserialport,name=vm-err,chardev=err \
        -chardev "pipe,id=ctl,path=$run/ctl" -device virtserialport,name=vm-ctl,chardev=ctl \
        -chardev "pipe,id=qmp,path=$run/qmp" -mon chardev=qmp,mode=control \
        "${arguments[@]}" </dev/null >"$run/qemu.log" 2>&1 &
    machine=$!
    exec {out}>&- {err}>&- {alive}>&-
}

# What the guest prints, on to our own output; a line that is the marker cuts
# the power.
pump_output() {
    if [[ -z $marker ]]; then
        exec cat
    fi
    tee --output-error=warn-nopipe >(grep -qxF -m 1 -e "$marker" && echo cut >&"$events")
}

# end_machine: at once, if it still runs.
end_machine() {
    [[ -n $machine ]] || return 0
    # What bash says about a killed child is no news here.
    { kill -KILL "$machine"; wait "$machine"; } 2>/dev/null || true
    machine=''
}
