#!/bin/sh
# Installs what Vigie needs besides Rust, if it is missing: a C compiler for Rust to link with, a Chromium, and fonts
# to draw banners with; with `--corpus`, python3 and openssl too, which serve the test corpus; with `--services`, the
# servers that tests of the queue speak to; with `--judges`, programs that have the last word on what we write, in an
# environment of their own (target/judges). Safe to run again: what is there is left alone.
# Only Debian and its kin are handled. Elsewhere, and without the right to install, it says what to install and how.
set -eu

# Python packages of the judges, one a line with its reason.
judges="
duckdb
moto[server]
pyarrow
"
# duckdb, pyarrow: read the Parquet of a campaign.   moto[server]: an S3-compatible store.

want_corpus=no
want_services=no
want_judges=no
for argument in "$@"; do
    case $argument in
        --corpus) want_corpus=yes ;;
        --services) want_services=yes ;;
        --judges) want_judges=yes ;;
        *) echo "setup: unknown argument \`$argument\`; expected --corpus, --services or --judges" >&2; exit 2 ;;
    esac
done

has() { command -v "$1" >/dev/null 2>&1; }

has_chromium() {
    has "${CHROMIUM:-chromium}" || has chromium || has chromium-browser || has google-chrome-stable || has google-chrome
}

# Without fontconfig there is no way to ask; then the package's own folder tells.
has_fonts() {
    if has fc-list; then
        [ -n "$(fc-list 2>/dev/null | head -n 1)" ]
    else
        [ -d /usr/share/fonts/truetype/liberation ] || [ -d /usr/share/fonts/truetype/liberation2 ]
    fi
}

missing=
has cc || missing="$missing gcc libc6-dev"
has_chromium || missing="$missing chromium"
has_fonts || missing="$missing fonts-liberation"
if [ "$want_corpus" = yes ]; then
    has python3 || missing="$missing python3"
    has openssl || missing="$missing openssl"
fi

if [ "$want_services" = yes ]; then
    has nats-server || missing="$missing nats-server"
fi
if [ "$want_judges" = yes ]; then
    python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3 python3-venv"
fi

# Puts the judges in place, without touching the system's own Python. Unquoted on purpose: one word a package.
# shellcheck disable=SC2086
install_judges() {
    [ "$want_judges" = yes ] || return 0
    folder="$(dirname "$0")/../target/judges"
    [ -x "$folder/bin/python" ] || python3 -m venv "$folder" || return 1
    if [ "$(cat "$folder/installed" 2>/dev/null)" != "$(printf %s "$judges")" ]; then
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check $judges >&2 || return 1
        printf '%s' "$judges" >"$folder/installed"
    fi
}
judges_or_end() {
    install_judges || { echo "setup: could not install the judges; see the messages above" >&2; exit 2; }
}

if ! has cargo; then
    echo "setup: Rust is missing; install it from https://rustup.rs (the version is in Cargo.toml, rust-version)" >&2
    exit 2
fi
if [ -z "$missing" ]; then
    judges_or_end
    exit 0
fi

if ! has apt-get; then
    echo "setup: please install$missing with this system's package manager, or name a Chromium with CHROMIUM=PATH" >&2
    exit 2
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif has sudo && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
elif has sudo && [ -t 0 ]; then
    as_root=sudo
else
    echo "setup: please run as root: apt-get install --no-install-recommends$missing" >&2
    exit 2
fi

echo "setup: installing$missing" >&2
# Unquoted on purpose: empty for root, and one word a package.
# shellcheck disable=SC2086
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing </dev/null >&2; }
# The package lists may be absent or old, so a failure is tried once more after fetching them.
# shellcheck disable=SC2086
install || { $as_root apt-get update -q </dev/null >&2 && install; } || {
    echo "setup: could not install$missing; see the messages above" >&2
    exit 2
}
judges_or_end
