# shellcheck shell=bash
# The guest's kernel: Debian's package, unpacked into the cache and never
# installed. Expects $cache; what is here once is used until it is taken away.
# shellcheck disable=SC2034 # for the others

vm_cache=${cache:?}/vm

# The release, as `uname -r` says it in the guest, and where image and modules are.
kernel_release=''
kernel_image=''
kernel_root=''

# prepare_kernel: sets the three, and gets the kernel if the cache has none.
prepare_kernel() {
    if [[ ! -e $vm_cache/kernel/complete ]]; then
        fetch_kernel
    fi
    kernel_root=$(realpath "$vm_cache/kernel")
    kernel_release=$(<"$kernel_root/complete")
    kernel_image=$kernel_root/boot/vmlinuz-$kernel_release
}

# The versioned package that `linux-image-amd64` stands for at the moment.
kernel_package() {
    { apt-cache depends linux-image-amd64 2>/dev/null || true; } |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ && !found++ { print $2 }'
}

# In a folder of its own, renamed when it is complete: one that was interrupted
# is taken for none.
fetch_kernel() {
    local package fresh=$vm_cache/kernel.new
    say 'getting the kernel for the guest (once)'
    rm -rf "$fresh"
    mkdir -p "$fresh"
    # Lists that are missing or old name packages that are not there any more.
    if ! { package=$(kernel_package) && [[ -n $package ]] && download "$package" "$fresh"; }; then
        apt-get update </dev/null >"$fresh/log" 2>&1 || show_and_die "$fresh/log" 'apt-get update'
        package=$(kernel_package)
        [[ -n $package ]] || die "no package \`linux-image-amd64\` here: the guest runs Debian's kernel"
        download "$package" "$fresh" || show_and_die "$fresh/log" "the package \`$package\` cannot be downloaded"
    fi
    dpkg-deb --extract "$fresh"/*.deb "$fresh"
    rm -f "$fresh"/*.deb "$fresh/log"
    local image=("$fresh"/boot/vmlinuz-*)
    kernel_release=${image[0]#*/vmlinuz-}
    # Maps and documentation are of no use here.
    rm -rf "${fresh:?}/usr/share" "$fresh"/boot/System.map-*
    depmod --basedir "$fresh" "$kernel_release"
    printf '%s\n' "$kernel_release" >"$fresh/complete"
    sync --file-system "$fresh/complete"
    rm -rf "$vm_cache/kernel"
    mv --no-target-directory "$fresh" "$vm_cache/kernel"
}

# As root and into a folder that apt's own user cannot write to.
download() {
    (cd "$2" && apt-get -o APT::Sandbox::User=root download "$1") </dev/null >>"$2/log" 2>&1
}

show_and_die() {
    cat "$1"
    die "$2"
}
