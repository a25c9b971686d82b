# shellcheck shell=bash
# The Rust toolchain, and a cache outside the clone: a second run is warm even
# in a fresh clone.

cache=${BERTH_CACHE:-${HOME:-/root}/.cache/berth}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export CARGO_TERM_COLOR=never
mkdir -p "$cache/tools" "$CARGO_TARGET_DIR"

need_cargo() {
    command -v cargo >/dev/null || PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
    command -v cargo >/dev/null || die "no cargo: install the Rust toolchain (https://rustup.rs)"
}

# need_tool CRATE VERSION [FEATURES]: a program, built once into the cache.
need_tool() {
    local crate=$1 version=$2 features=${3:-}
    PATH="$cache/tools/bin:$PATH"
    if [[ $("$cache/tools/bin/$crate" --version 2>/dev/null) == *" $version" ]]; then
        return 0
    fi
    say "building $crate $version (once; it goes to $cache/tools)"
    # Without optimisation: it is built more often than it runs.
    cargo install --quiet --locked --root "$cache/tools" --target-dir "$cache/tools/target" \
        --version "$version" --features "$features" "$crate" </dev/null && rm -rf "$cache/tools/target"
}
