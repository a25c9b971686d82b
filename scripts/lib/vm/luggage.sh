# shellcheck shell=bash
# What goes along into the guest: the helpers, the command with its environment,
# and which folders it needs. Expects $run, which the guest can read.
# shellcheck disable=SC2154 # options, from scripts/vm

# The environment that goes along.
passed='^(BERTH_|RUST|INSTA_|CARGO_|KEEP$|NO_COLOR$|HOME$|LANG$|TZ$)'

# pack COMMAND…: all of it into $run/guest.
pack() {
    local name guest=$run/guest
    mkdir "$guest"
    cp scripts/lib/vm/guest/* "$guest"
    printf '%s=%q\n' release "$kernel_release" kernel_root "$kernel_root" \
        disks "${#disks[@]}" nvme "${nvme/#0/}" >"$guest/settings"
    [[ -z $wire ]] || printf 'guest=%q\n' "$number" >>"$guest/settings"
    {
        while read -r name; do
            [[ ! $name =~ $passed ]] || printf 'export %s=%q\n' "$name" "${!name}"
        done < <(compgen -e)
        ((${#variables[@]} == 0)) || printf 'export %q\n' "${variables[@]}"
        printf 'cd %q || exit 125\n' "$here"
        # `exec` of what is not there would be 127 as well.
        printf 'exec'
        printf ' %q' "$@"
        echo
    } >"$guest/command"
    hidden "$here" "$PWD" "$CARGO_TARGET_DIR" "$cache" "${shares[@]}" "$@" >"$guest/shared"
}

# hidden PATH…: those that lie where the guest has folders of its own. The
# outermost first, and each once: what is inside another comes with it.
hidden() {
    local path last=''
    for path; do
        # The command's words are paths only if they say so.
        [[ $path != /* || ! -e $path ]] || realpath "$path"
    done | LC_ALL=C sort -u | while read -r path; do
        [[ $path == @(/tmp|/var/tmp)/* ]] || continue
        [[ -z $last || $path != "$last"/* ]] || continue
        last=$path
        printf '%s\n' "$path"
    done
}
