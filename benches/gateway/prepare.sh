#!/bin/sh
# Sets up the gateway of the benchmark with the program itself, as an operator would; `run.py --prepare` calls it.
#   prepare.sh VIGIE FOLDER SERVER_PORT DATABASE SUPERUSER USER PASSWORD PORT
set -eu
vigie=$1 folder=$2 server_port=$3 database=$4 superuser=$5 user=$6 password=$7 port=$8
here=$(cd "$(dirname "$0")" && pwd)
address="host=127.0.0.1 port=$server_port user=$superuser dbname=$database"

mkdir -p "$folder"
head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$folder/gateway.secret"
chmod 600 "$folder/gateway.secret"
verifier=$(printf '%s\n' "$password" | "$vigie" gateway verifier)
cat >"$folder/people.toml" <<PEOPLE
schema = "people/1"
[[service]]
id = "$user"
name = "The benchmark"
entity = "Platform Ireland Ltd"
country = "IE"
groups = []
scram = "$verifier"
PEOPLE
cat >"$folder/gateway.toml" <<CONFIG
schema = "gateway/1"
listen = "127.0.0.1:$port"
secret = "gateway.secret"
[server]
host = "127.0.0.1"
port = $server_port
database = "$database"
control_role = "vigie_bench_control"
[policy]
map = "$here/policy/map.toml"
zones = "$here/policy/zones.toml"
cedar = "$here/policy/policies"
[people]
file = "people.toml"
unknown_network = "allow"
[ledger]
folder = "accesses"
vault = "vault"
CONFIG
"$vigie" ledger init "$folder/accesses" --origin bench.example/accesses --quiet
"$vigie" choices install "$here/policy/map.toml" --database "$address" --quiet
"$vigie" choices work-off --batch 1000000 --database "$address" --quiet
"$vigie" policy apply "$here/policy" --secret-file "$folder/gateway.secret" --database "$address" --quiet
