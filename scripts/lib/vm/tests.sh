# shellcheck shell=bash
# The tests that run inside the guest: all of them in one boot. Expects lanes.sh.

# guest_rows: which, as in tests/guest.tsv.
guest_rows() {
    local file
    for file in tests/guest_*.rs backends/*/tests/guest_*.rs; do
        [[ ! -e $file ]] || printf -- '-\t--test %s\t\n' "$(basename "$file" .rs)"
    done
    grep -v '^#' tests/guest.tsv || true
}

# They are built here, and cargo is asked how it would run them.
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
    done < <(guest_rows)
    scripts/vm --verbose --memory 3G --timeout 1500 -- scripts/lib/vm/run-tests "$list" || status=1
    rm -f "$list"
    return "$status"
}
