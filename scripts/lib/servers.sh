# shellcheck shell=bash
# Servers of others that tests talk to, kept in the cache. Expects cargo.sh.
# shellcheck disable=SC2154 # $cache

s3s_version=0.14.1
moto_version=5.2.2

# An S3 server that checks signatures and keeps objects in a directory.
need_s3s() {
    need_tool s3s-fs "$s3s_version" binary || return 1
    export BERTH_S3S="$cache/tools/bin/s3s-fs"
}

# A second opinion on S3, in memory. A folder for each version, there as a whole or
# not at all.
need_moto() {
    local folder="$cache/tools/moto-$moto_version"
    export BERTH_MOTO="$folder/bin/moto_server"
    [[ ! -e $folder/whole ]] || return 0
    say "installing moto $moto_version (once; it goes to $folder)"
    rm -rf "$folder"
    python3 -m venv "$folder" &&
        "$folder/bin/pip" install --quiet "moto[server,s3]==$moto_version" </dev/null &&
        touch "$folder/whole"
}
