# shellcheck shell=bash
# What tests leave when they are killed before they can clean up: their folders
# are named after their process, and what belongs to a dead one is taken away.

sweep_leftovers() {
    local stage owner
    for stage in /var/tmp/berth-test-*; do
        owner=${stage%-*}
        owner=${owner##*-}
        # Kept for a look, or in use.
        [[ -d $stage && ! -e $stage/kept && ! -e /proc/$owner ]] || continue
        end_processes "$stage"
        unmount_below "$stage"
        rm -rf --one-file-system "$stage"
    done
}

# The daemons that were started on this stage.
end_processes() {
    local process
    for process in /proc/[0-9]*; do
        if tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep -qF -- "$1/"; then
            kill -KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
}

# Deepest first; loop devices go with their last mount.
unmount_below() {
    local point
    while read -r point; do
        umount --lazy "$point" 2>/dev/null || true
    done < <(awk -v stage="$1/" 'index($5, stage) == 1 { print $5 }' /proc/self/mountinfo | tac)
    losetup --list --noheadings --output NAME,BACK-FILE 2>/dev/null |
        awk -v stage="$1/" 'index($2, stage) == 1 { print $1 }' | xargs -r -n 1 losetup --detach || true
}
