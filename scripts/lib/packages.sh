# shellcheck shell=bash
# What the scripts need of the system, installed with apt only if it is missing.

# Engine, compilers and file system tools live in sbin too.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing=()

# need COMMAND PACKAGE: notes the package if the command is not there.
need() {
    command -v "$1" >/dev/null || missing+=("$2")
}

need_compiler() {
    need cc gcc
    [[ -e /usr/include/stdio.h ]] || missing+=(libc6-dev)
}

need_engine() {
    need dockerd docker.io
    need docker docker-cli
    need containerd containerd
    need busybox busybox-static
    need iptables iptables
    need ip iproute2
    need docker-compose docker-compose
    need tar tar
    need nsenter util-linux
}

# QEMU, what builds and feeds a guest, and the servers of NFS that run inside.
need_vm() {
    need qemu-system-x86_64 qemu-system-x86
    need busybox busybox-static
    need modprobe kmod
    need xz xz-utils
    need zstd zstd
    need mkfs.ext4 e2fsprogs
    need setpriv util-linux
    need flock util-linux
    need rpc.nfsd nfs-kernel-server
    need mount.nfs nfs-common
    need rpc.statd nfs-common
    need rpcbind rpcbind
    need nft nftables
    need ip iproute2
    need tc iproute2
    need nsenter util-linux
}

# What is missing, under the names of this release: Debian 12 has the client in
# `docker.io`, later ones have `docker-cli`.
packages() {
    local package
    for package in "${missing[@]}"; do
        if [[ $package == docker-cli ]] && ! apt-cache show docker-cli >/dev/null 2>&1; then
            package=docker.io
        fi
        printf '%s\n' "$package"
    done
}

# One look at the package lists, one installation, and nothing if all is there.
install_missing() {
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]} (and there is no apt-get)"
    ((EUID == 0)) || die "missing: ${missing[*]} (as root, this script installs them)"
    say "installing ${missing[*]}"
    local log policy='' failed=''
    log=$(mktemp)
    # Tests start servers of their own: none shall run because it was installed.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2046 # names of packages have no blanks
    { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $(packages); } </dev/null >"$log" 2>&1 || failed=yes
    [[ -z $policy ]] || rm -f "$policy"
    if [[ -n $failed ]]; then
        cat "$log" >&2
        rm -f "$log"
        die "apt-get could not install ${missing[*]}"
    fi
    rm -f "$log"
    missing=()
    hash -r
}
