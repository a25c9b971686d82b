# shellcheck shell=bash
# A Docker Engine of our own, for machines where none runs. Expects $stage, a
# folder on a real disk, and a /run that nobody else uses.
# shellcheck disable=SC2154 # $stage

dockerd_pid=''

# wait_for SECONDS WHAT COMMAND…: until the command succeeds, or the end.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "$what: not within the time it should take"
        sleep 0.1
    done
}

# containerd is a process of its own: a dockerd that is killed would take its
# child down in a state that the next dockerd cannot use.
start_containerd() {
    cat >"$stage/containerd.toml" <<EOF
version = 2
root = "$stage/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd.sock"
EOF
    containerd --log-level warn --config "$stage/containerd.toml" >"$stage/containerd.log" 2>&1 &
    wait_for 30 'containerd' test -S /run/containerd.sock
}

# With live-restore, so that containers outlive it.
start_dockerd() {
    echo '{}' >"$stage/daemon.json"
    rm -f /run/docker.pid
    dockerd --config-file "$stage/daemon.json" --data-root "$stage/docker" \
        --exec-root /run/docker/exec --pidfile /run/docker.pid \
        --containerd /run/containerd.sock --host "$DOCKER_HOST" --live-restore \
        --bridge none --iptables=false --ip6tables=false >>"$stage/dockerd.log" 2>&1 &
    dockerd_pid=$!
    wait_for 60 'dockerd' docker version
}

kill_dockerd() {
    kill -KILL "$dockerd_pid"
    wait "$dockerd_pid" 2>/dev/null || true
}

# import_image NAME: static busybox with its links.
import_image() {
    local root="$stage/rootfs" applet
    mkdir -p "$root"/{bin,tmp,etc,proc,sys,dev}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do
        [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
    done
    tar -C "$root" -c . | docker import - "$1" >/dev/null
}
