# shellcheck shell=bash
# The tests that run inside the guest: those of a lane in one boot. Expects lanes.sh.

# guest_rows LANE: which, as in tests/guest.tsv. Where tests/guest_short.tsv chooses some of
# a file's, the others run with --long.
guest_rows() {
    local file name words
    for file in {.,backends/*}/tests/guest_{*.rs,*/main.rs}; do
        name=${file#*tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        [[ -e $file && $(guest_lane_of "$name") == "$1" ]] || continue
        words=''
        ((${long:-0})) || words=$(awk -F'\t' -v test="$name" '$1 == test { print $2 }' tests/guest_short.tsv)
        printf -- '-\t--test %s\t%s\n' "$name" "$words"
    done
    [[ $1 != vm ]] || grep -v '^#' tests/guest.tsv || true
}

# guest_lane_of TEST: in which lane's guest it runs.
guest_lane_of() {
    case $1 in
    guest_nfs_*) echo nfs ;;
    *) echo vm ;;
    esac
}

# run_guest_tests LANE: they are built here, and cargo is asked how it would run them.
run_guest_tests() {
    local triple list status=0 package choice words
    triple=$(rustc -vV | sed -n 's/^host: //p')
    triple=${triple^^}
    list=$(mktemp "$CARGO_TARGET_DIR/guest-tests.XXXXXX")
    while IFS=$'\t' read -r package choice words; do
        printf 'row %q\n' "$package $choice${words:+ -- $words}" >>"$list"
        (
            export "CARGO_TARGET_${triple//-/_}_RUNNER=$PWD/scripts/lib/vm/collect"
            export VM_TESTS="$list" VM_PACKAGE="$package"
            # shellcheck disable=SC2086 # words
            cargo_test $choice -- $words
        ) || status=1
    done < <(guest_rows "$1")
    scripts/vm --verbose --memory 3G --timeout 1500 -- scripts/lib/vm/run-tests "$list" || status=1
    rm -f "$list"
    return "$status"
}
