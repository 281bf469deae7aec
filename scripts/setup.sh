#!/bin/sh
# Installs what Vigie needs besides Rust, if it is missing: a C compiler for Rust to link with, libclang for the bindings
# of PostgreSQL's grammar, a Chromium, and fonts to draw banners with; with `--corpus`, python3 and openssl too, which serve the test corpus; with `--services`, the
# servers that tests speak to (NATS, PostgreSQL, PgBouncer) and strace, which fails them; with `--judges`, the programs that have the last word on what we write:
# openssl, unzip, Go with its packages for transparent logs, and a Python environment below target/judges (or
# $VIGIE_JUDGES) with warcio and py-wacz (bundles), jsonschema (SARIF, and our own schemas), pyarrow and duckdb (a
# campaign's tables), moto (an S3-compatible store) and schemathesis (the API of choices).
# Safe to run again: what is there is left alone.
# Only Debian and its kin are handled. Elsewhere, and without the right to install, it says what to install and how.
set -eu

want_corpus=no
want_services=no
want_judges=no
want_clients=no
judges=${VIGIE_JUDGES:-$(dirname "$0")/../target/judges}
clients=${VIGIE_CLIENTS:-$(dirname "$0")/../target}
for argument in "$@"; do
    case $argument in
        --corpus) want_corpus=yes ;;
        --services) want_services=yes ;;
        --judges) want_judges=yes ;;
        --clients) want_clients=yes ;;
        *) echo "setup: unknown argument \`$argument\`; expected --corpus, --services, --judges or --clients" >&2; exit 2 ;;
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

# Debian ships Python without what makes an environment.
has_venv() { has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null; }

# Which judges there are is a file, so that newer ones replace older ones.
the_judges="warcio==1.8.1 wacz==0.6.0 jsonschema==4.26.0 pyarrow==26.0.1 duckdb==2.0.0 moto[server]==5.2.5 schemathesis==4.32.5"

# Into an environment of its own: nothing of the system's Python is touched.
make_judges() {
    [ "$want_judges" = yes ] || return 0
    [ "$(cat "$judges/.judges" 2>/dev/null)" != "$the_judges" ] || return 0
    # Python empties an environment that is reached by a link, and then refuses to fill it.
    [ ! -d "$judges" ] || judges=$(cd "$judges" && pwd -P)
    echo "setup: installing $the_judges in $judges" >&2
    # shellcheck disable=SC2086
    python3 -m venv --clear "$judges" >&2 &&
        "$judges/bin/python" -m pip install --quiet --disable-pip-version-check $the_judges </dev/null >&2 &&
        echo "$the_judges" >"$judges/.judges" || {
        echo "setup: could not install $the_judges in $judges; see the messages above" >&2
        exit 2
    }
}

# In Python and in JavaScript; what Debian has comes with the packages below.
the_clients="psycopg[binary]==3.3.9 asyncpg==0.32.0 SQLAlchemy==2.1.9"
the_node_clients="pg@8.23.1"

make_clients() {
    [ "$want_clients" = yes ] || return 0
    mkdir -p "$clients"
    # As above: by its own name, not by a link.
    clients=$(cd "$clients" && pwd -P)
    if [ "$(cat "$clients/clients/.clients" 2>/dev/null)" != "$the_clients" ]; then
        echo "setup: installing $the_clients in $clients/clients" >&2
        # shellcheck disable=SC2086
        python3 -m venv --clear "$clients/clients" >&2 &&
            "$clients/clients/bin/python" -m pip install --quiet --disable-pip-version-check $the_clients </dev/null >&2 &&
            echo "$the_clients" >"$clients/clients/.clients" || {
            echo "setup: could not install $the_clients in $clients/clients; see the messages above" >&2
            exit 2
        }
    fi
    if [ "$(cat "$clients/clients-node/.clients" 2>/dev/null)" != "$the_node_clients" ]; then
        echo "setup: installing $the_node_clients in $clients/clients-node" >&2
        mkdir -p "$clients/clients-node" && echo '{ "private": true }' >"$clients/clients-node/package.json" &&
            npm install --prefix "$clients/clients-node" --no-fund --no-audit --silent "$the_node_clients" </dev/null >&2 &&
            echo "$the_node_clients" >"$clients/clients-node/.clients" || {
            echo "setup: could not install $the_node_clients in $clients/clients-node; see the messages above" >&2
            exit 2
        }
    fi
}

has_libclang() { ls /usr/lib/llvm*/lib/libclang*.so* >/dev/null 2>&1 && ls -d /usr/lib/llvm*/lib/clang/*/include >/dev/null 2>&1; }

missing=
has cc || missing="$missing gcc libc6-dev"
has_libclang || missing="$missing libclang-dev"
has_chromium || missing="$missing chromium"
has_fonts || missing="$missing fonts-liberation"
if [ "$want_corpus" = yes ]; then
    has python3 || missing="$missing python3"
    has openssl || missing="$missing openssl"
fi
if [ "$want_services" = yes ]; then
    has nats-server || missing="$missing nats-server"
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
    has pgbouncer || missing="$missing pgbouncer"
    has strace || missing="$missing strace"
fi
if [ "$want_judges" = yes ]; then
    has_venv || missing="$missing python3 python3-venv"
    has openssl || missing="$missing openssl"
    has unzip || missing="$missing unzip"
    { has go && [ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; } || missing="$missing golang-go golang-golang-x-mod-dev"
fi

if [ "$want_clients" = yes ]; then
    has_venv || missing="$missing python3 python3-venv"
    has psql || missing="$missing postgresql-client"
    has java || missing="$missing default-jdk-headless"
    [ -f /usr/share/java/postgresql.jar ] || missing="$missing libpostgresql-jdbc-java"
    { has node && has npm; } || missing="$missing nodejs npm"
fi

if ! has cargo; then
    echo "setup: Rust is missing; install it from https://rustup.rs (the version is in Cargo.toml, rust-version)" >&2
    exit 2
fi
[ -n "$missing" ] || { make_judges; make_clients; exit 0; }

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
make_judges
make_clients
