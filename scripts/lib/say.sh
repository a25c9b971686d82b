# shellcheck shell=bash
# Words for the terminal: colour where it is one, plain where it is not.

bold='' red='' green='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'
fi

# A line of progress.
say() { printf '%s\n' "$*"; }

# A heading.
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# A line that matters less.
whisper() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }

# A line that says that something is as it should be.
good() { printf '%s%s%s\n' "$green" "$*" "$plain"; }

# Ends the script with a reason.
die() {
    printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
    exit 1
}
