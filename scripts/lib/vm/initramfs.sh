# shellcheck shell=bash
# The guest's first root: static busybox, the modules that reach the real root,
# and `init`. Built again whenever one of them changed.
# shellcheck disable=SC2154 # the kernel's, from kernel.sh

# What the first root loads, each with all it depends on; everything else comes
# from the real root, on demand.
first_modules=(virtio_pci virtio_console virtio_blk 9p 9pnet_virtio overlay ext4 quota_v2)

initramfs=''

# prepare_initramfs: sets $initramfs. Expects prepare_kernel.
prepare_initramfs() {
    local here=scripts/lib/vm state
    state=$({
        cat "$here/init" "$here/initramfs.sh" "$(command -v busybox)"
        echo "$kernel_release"
    } | sha256sum | cut -c 1-16)
    initramfs=$vm_cache/initramfs-$state
    [[ -e $initramfs ]] || build_initramfs "$here/init"
}

build_initramfs() {
    local root=$vm_cache/initramfs.new file name
    rm -rf "$root"
    # Other clones may be using theirs.
    find "$vm_cache" -maxdepth 1 -name 'initramfs-*' -mtime +1 -delete
    mkdir -p "$root"/{bin,dev,proc,sys,lower,upper,host,root,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    # The kernel cannot start a program that needs libraries which are not there.
    ! ldd "$root/bin/busybox" >/dev/null 2>&1 || die "the guest needs a static busybox: install \`busybox-static\`"
    busybox --list | while read -r name; do
        [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
    done
    cp "$1" "$root/init"
    chmod 755 "$root/init"
    while read -r file; do
        name=${file##*/}
        case $name in
        *.ko) cp "$file" "$root/modules/$name" ;;
        *.ko.xz) xz -dc "$file" >"$root/modules/${name%.xz}" ;;
        *.ko.zst) zstd -qdc "$file" >"$root/modules/${name%.zst}" ;;
        esac
        name=${name%%.ko*}
        grep -qxF "$name.ko" "$root/modules/order" 2>/dev/null || echo "$name.ko" >>"$root/modules/order"
    done < <(first_module_files)
    (cd "$root" && find . | busybox cpio -o -H newc) >"$initramfs.new" 2>/dev/null
    mv "$initramfs.new" "$initramfs"
    rm -rf "$root"
}

# The files, in the order in which they must be loaded; what the kernel has
# built in is `builtin` and needs none.
first_module_files() {
    local module
    for module in "${first_modules[@]}"; do
        modprobe --dirname "$kernel_root" --set-version "$kernel_release" --show-depends "$module"
    done | awk '$1 == "insmod" { print $2 }'
}
