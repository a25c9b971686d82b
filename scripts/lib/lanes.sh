# shellcheck shell=bash
# The lanes: what each needs and runs. A lane is a function `lane_NAME`; it
# succeeds, or it fails and says why. Its output is shown only if it fails.
#
# A test NAME.rs or NAME/main.rs of tests/, backends/*/tests/ or src/vault/tests/ belongs to the lane that
# `lane_of` gives its name; one that it does not know runs in `unit`, so none is left out.
#
# `guest` is no lane: tests/guest_*.rs and backends/*/tests/guest_*.rs need a kernel that
# this machine may not have, and run inside the guest of `scripts/vm`, as root, in one boot of
# the lane `nfs` (guest_nfs_*) or `vm` (all others); what else shall run there too is a line of
# tests/guest.tsv. Alone:
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='scripts/vm --' \
#       cargo test --workspace --features testing --test guest_quota

# shellcheck disable=SC2034 # read by scripts/test
lanes=(fmt clippy doc deny shell unit cli protocol directories vault engine crash sabotage vm nfs)

deny_version=0.20.2

# What a lane needs of the system.
needs_of() {
    need_compiler
    case $1 in
    shell) need shellcheck shellcheck ;;
    engine)
        need_engine
        need mkfs.xfs xfsprogs
        ;;
    directories)
        need mkfs.btrfs btrfs-progs
        need mkfs.ext4 e2fsprogs
        need mkfs.xfs xfsprogs
        need losetup mount
        need setfattr attr
        need setfacl acl
        ;;
    vault)
        need_judges
        need python3 python3
        python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
        ;;
    vm | nfs)
        # Backups of volumes on NFS are judged by restic.
        [[ $1 != nfs ]] || need_judges
        need_vm
        need_engine
        need mkfs.xfs xfsprogs
        need mkfs.btrfs btrfs-progs
        need losetup mount
        ;;
    crash | sabotage)
        # Some of what saboteurs must not pass runs in the guest, some is judged by
        # restic: a test that fails because it has none looks as if it had noticed.
        if [[ $1 == sabotage ]]; then
            need_vm
            need_judges
        fi
        need mkfs.ext4 e2fsprogs
        need mkfs.btrfs btrfs-progs
        need mkfs.xfs xfsprogs
        need losetup mount
        need strace strace
        ;;
    esac
}

# restic, and what makes and compares everything that a backup must keep.
need_judges() {
    need restic restic
    need setfattr attr
    need setfacl acl
    need setcap libcap2-bin
    need mkfs.ext4 e2fsprogs
    need mkfs.xfs xfsprogs
    need losetup mount
}

# lane_of TEST: whose lane a test is.
lane_of() {
    case $1 in
    convoy_snapshots) echo directories ;;
    *) lane_of_prefix "${1%%_*}" ;;
    esac
}

lane_of_prefix() {
    case $1 in
    cli) echo cli ;;
    protocol | fuzz) echo protocol ;;
    # What is tried on file systems of its own.
    btrfs | ext4 | xfs | copy | image | label | limits | quiesce | shared | sharing | snapshots) echo directories ;;
    vault) echo vault ;;
    engine) echo engine ;;
    crash | power | damage | failpoint | failpoints) echo crash ;;
    sabotage) echo sabotage ;;
    vm) echo vm ;;
    nfs) echo nfs ;;
    guest) echo guest ;;
    *) echo unit ;;
    esac
}

# How many tests of a lane run at a time: those that wait more than they work
# share the machine, those that measure or kill at random do not.
threads_of() {
    case $1 in
    engine) echo 3 ;;
    crash | vm | nfs) echo 2 ;;
    sabotage) echo 1 ;;
    *) nproc ;;
    esac
}

# tests_of LANE: the names of its tests, one a line; one name may stand in several
# crates.
tests_of() {
    local file name
    for file in {.,backends/*,src/vault}/tests/{*.rs,*/main.rs}; do
        name=${file#*tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        [[ ! -e $file || $(lane_of "$name") != "$1" ]] || echo "$name"
    done | sort -u
}

# cargo_test ARGUMENTS…: the build with test-only switches. Always of the whole
# workspace: another choice of packages would mean other features, and a rebuild.
cargo_test() {
    cargo test --locked --workspace --features testing --no-fail-fast "$@"
}

# run_tests LANE: all its tests in one go.
run_tests() {
    local lane=$1 name arguments=()
    while read -r name; do
        arguments+=(--test "$name")
    done < <(tests_of "$lane")
    if ((${#arguments[@]} == 0)); then
        echo "nothing in tests/ belongs to the lane $lane"
        return 1
    fi
    cargo_test "${arguments[@]}" -- --test-threads="$(threads_of "$lane")"
}

# Everything that the other lanes run, so that their times are their own.
build_tests() { cargo_test --no-run; }

lane_fmt() { cargo fmt --all --check; }

# With the test-only switches and, as users get it, without.
lane_clippy() {
    cargo clippy --locked --workspace --all-targets --features testing -- -D warnings &&
        cargo clippy --locked --workspace -- -D warnings
}

# Private items too: the code map is written for those who work on it.
lane_doc() {
    RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --locked --workspace --no-deps --features testing \
        --document-private-items
}

# Advisories need a database that is fetched from the net; they are not checked.
lane_deny() {
    need_tool cargo-deny "$deny_version" &&
        cargo deny --locked --workspace --all-features check bans licenses sources
}

lane_shell() {
    local scripts=(.ci/run) script
    for script in scripts/* scripts/lib/* scripts/lib/vm/* scripts/lib/vm/guest/*; do
        [[ -f $script ]] && head -n 1 "$script" | grep -Eq '^#.*(bash|shell=bash|/sh$)' &&
            scripts+=("$script")
    done
    for script in "${scripts[@]}"; do
        bash -n "$script" || return 1
    done
    shellcheck --external-sources "${scripts[@]}"
}

# All crates' own tests (the conformance suite on this machine's file system among
# them), documentation examples, and what has no lane of its own.
lane_unit() {
    local failed=0
    cargo_test --lib --bins || failed=1
    cargo_test --doc || failed=1
    run_tests unit || failed=1
    return "$failed"
}

lane_cli() { run_tests cli; }

# The fuzz target runs for this many seconds.
lane_protocol() {
    export BERTH_FUZZ_SECONDS=${BERTH_FUZZ_SECONDS:-$((${long:-0} ? 1800 : 60))}
    run_tests protocol
}

# The suite on every file system, and what directory volumes promise beyond it.
lane_directories() {
    export BERTH_LONG=${BERTH_LONG:-${long:-0}}
    export BERTH_FILES=${BERTH_FILES:-$((${long:-0} ? 200000 : 20000))}
    run_tests directories
}

# Repositories, with stock restic beside, and on servers of S3. With --long a directory
# of half a million files.
lane_vault() {
    export BERTH_LONG=${BERTH_LONG:-${long:-0}}
    need_s3s && need_moto && need_current_restic && run_tests vault
}

# With --long one restore takes five minutes, as Docker sees it.
lane_engine() {
    export BERTH_LONG=${BERTH_LONG:-${long:-0}}
    run_tests engine
}

# At least this many random kills; with --long all passes of failpoints in loops.
lane_crash() {
    export BERTH_LONG=${BERTH_LONG:-${long:-0}}
    export BERTH_KILLS=${BERTH_KILLS:-$((${long:-0} ? 3000 : 100))}
    run_tests crash
}

lane_sabotage() { need_current_restic && scripts/lib/sabotage; }

# First what `scripts/vm` promises, then what runs inside.
lane_vm() {
    local failed=0
    . scripts/lib/vm/tests.sh
    scripts/vm --prepare || return 1
    run_tests vm || failed=1
    run_guest_tests vm || failed=1
    return "$failed"
}

# Pools on an NFS server: what needs guests of its own, then what shares one.
lane_nfs() {
    local failed=0
    . scripts/lib/vm/tests.sh
    scripts/vm --prepare || return 1
    run_tests nfs || failed=1
    run_guest_tests nfs || failed=1
    return "$failed"
}
