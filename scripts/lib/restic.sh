# shellcheck shell=bash
# The newest restic that Debian's suites offer, beside the one of this release: what
# Berth writes must be read by both. Expects $cache.
# shellcheck disable=SC2154 # $cache

# The suites to look in, newest first.
restic_suites=(sid trixie)

# need_current_restic: unpacks it into the cache, once a week at most, and exports
# its path as BERTH_RESTIC_CURRENT. The package is downloaded by apt, which checks
# signatures, with lists of its own: nothing of it is installed.
need_current_restic() {
    local place=$cache/tools/restic suite
    export BERTH_RESTIC_CURRENT=$place/usr/bin/restic
    if [[ -x $BERTH_RESTIC_CURRENT && -n $(find "$place" -maxdepth 0 -mtime -7) ]]; then
        return 0
    fi
    for suite in "${restic_suites[@]}"; do
        if fetch_restic "$suite" "$place"; then
            touch "$place"
            return 0
        fi
    done
    # An older download is as good a judge, and better than none.
    if [[ -x $BERTH_RESTIC_CURRENT ]]; then
        return 0
    fi
    echo "no restic could be downloaded from Debian's suites ${restic_suites[*]}" >&2
    return 1
}

# fetch_restic SUITE PLACE
fetch_restic() {
    local suite=$1 place=$2 lists package mirror
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    lists=$(mktemp -d)
    mkdir -p "$lists/lists/partial" "$lists/archives/partial"
    # apt's own user reads and downloads here.
    chmod 755 "$lists"
    # From where this machine's own packages come.
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        grep -v security | head -n 1)
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$lists/sources.list"
    local options=(
        -qq -o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$lists/lists" -o "Dir::Cache=$lists" -o APT::Sandbox::User=root
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    )
    if apt-get "${options[@]}" update >/dev/null &&
        (cd "$lists" && apt-get "${options[@]}" download restic >/dev/null) &&
        package=$(compgen -G "$lists/restic_*.deb") &&
        rm -rf "$place" && mkdir -p "$place" && dpkg-deb -x "$package" "$place"; then
        rm -rf "$lists"
        return 0
    fi
    rm -rf "$lists"
    return 1
}
