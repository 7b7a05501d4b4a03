#!/usr/bin/env bash
# Real services for tests, benchmarks and crash tests: PostgreSQL, MinIO and a second S3 server (versitygw).
#
# Usage: tools/services.sh VERB [postgres] [minio] [versitygw]        (no name: all three)
#
#   install   make the program available: Debian's package, or a build with Go kept in a cache
#   start     install if needed, start, wait until ready, create database or bucket `xds`; does nothing if running
#   stop      end it in an orderly way; the data and the port stay for the next start
#   kill      end it as a crash would: SIGKILL, for PostgreSQL an immediate shutdown
#   pause     freeze it (SIGSTOP): connections hang, as with a store that has become slow
#   resume    let a frozen one go on
#   restart   stop, then start
#   purge     stop, and delete its data
#   status    one line each; exit code 1 unless all are running
#   env       export lines for those that run: eval "$(tools/services.sh env)"
#   log       the end of each log
#
# Everything listens on 127.0.0.1, on ports chosen at the first start and remembered.
#   XDS_SERVICES_DIR   state and data (default: .services in the checkout); another directory is another set of servers
#   XDS_PYTHON         a Python that has the project's dependencies (default: .venv/bin/python)
#   XDS_SHARED_BUFFERS PostgreSQL's memory for its pages when it starts (default: its own, 128MB)
#   XDG_CACHE_HOME     built programs are kept below it, in open-xds/ (default: ~/.cache)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=$(realpath -m "${XDS_SERVICES_DIR:-$ROOT/.services}")
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/open-xds
PYTHON=${XDS_PYTHON:-$ROOT/.venv/bin/python}
ALL=(postgres minio versitygw)
READY_SECONDS=60
STOP_SECONDS=20

# name -> Go package, version, oldest Go that its go.mod admits
declare -A PACKAGE=([minio]=github.com/minio/minio [versitygw]=github.com/versity/versitygw/cmd/versitygw)
declare -A VERSION=([minio]=v0.0.0-20260212201848-7aac2a2c5b7c [versitygw]=v1.8.0)
declare -A GO_NEEDED=([minio]=1.24.8 [versitygw]=1.25.0)

say() { printf 'services: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# --- what all services share ------------------------------------------------------------------------------------

# Below the range from which outgoing connections take theirs, so that a stopped service finds its port free again.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((20000 + RANDOM % 10000))
    if port_is_free "$port"; then
      echo "$port"
      return
    fi
  done
  die "found no free port between 20000 and 29999"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_of() { cat "$STATE/$1/port"; }

choose_port() {
  local file=$STATE/$1/port
  if [[ -s $file ]] && port_is_free "$(<"$file")"; then return; fi
  if [[ -s $file ]]; then say "$1: port $(<"$file") is taken by another program, choosing a new one"; fi
  free_port >"$file"
}

# One random secret for the database's owner and both S3 servers; readable by its owner alone.
secret() {
  local file=$STATE/secret
  if [[ ! -s $file ]]; then
    (umask 077 && od -An -N20 -tx1 /dev/urandom | tr -d ' \n' >"$file")
  fi
  cat "$file"
}

# The process in the pid file, unless its number has passed to another program since.
pid_of() {
  local name=$1 file=$STATE/$1/pid pid
  [[ -s $file ]] || return 1
  pid=$(<"$file")
  [[ -r /proc/$pid/cmdline ]] || return 1
  [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *"$name"* ]] || return 1
  echo "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

descendants() {
  local child children
  echo "$1"
  read -r -a children < <(cat /proc/"$1"/task/*/children 2>/dev/null) || true
  for child in "${children[@]}"; do descendants "$child"; done
}

signal_tree() {
  local pid
  for pid in $(descendants "$2"); do kill -s "$1" "$pid" 2>/dev/null || true; done
}

wait_for_end() {
  local tenths
  for ((tenths = 0; tenths < STOP_SECONDS * 10; tenths++)); do
    is_running "$1" || return 0
    sleep 0.1
  done
  return 1
}

log_of() {
  if [[ $1 == postgres ]]; then echo "$(postgres_home)/log"; else echo "$STATE/$1/log"; fi
}

# --- PostgreSQL: Debian's package, a cluster of our own, never as root --------------------------------------------

postgres_bin() {
  local dir
  dir=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  if [[ -x $dir/initdb ]]; then
    echo "$dir"
  elif command -v initdb >/dev/null; then
    dirname "$(command -v initdb)"
  else
    return 1
  fi
}

install_postgres() {
  if postgres_bin >/dev/null; then return; fi
  command -v apt-get >/dev/null ||
    die "postgres: not installed, and this is no Debian system: install PostgreSQL 14 or later and put initdb in PATH"
  [[ $(id -u) == 0 ]] ||
    die "postgres: not installed, and only root may install it: sudo apt-get update && sudo apt-get install postgresql"
  say "postgres: installing Debian's package"
  apt-get update -qq >&2 </dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2 </dev/null 9>&-
  postgres_bin >/dev/null || die "postgres: the package is installed, but there is no /usr/lib/postgresql/*/bin/initdb"
}

# PostgreSQL refuses to run as root; everyone else runs it as themselves.
as_postgres() {
  if [[ $(id -u) == 0 ]]; then
    (cd / && exec runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

postgres_home() { cat "$STATE/postgres/home"; }

# The cluster lies in the state directory, or in /var/tmp where that is closed to the user postgres (a checkout of root's).
make_postgres_home() {
  local home=$STATE/postgres/cluster
  if [[ -s $STATE/postgres/home && -d $(postgres_home) ]]; then return; fi
  mkdir -p "$home"
  if [[ $(id -u) == 0 ]]; then
    chown postgres: "$home"
    if ! as_postgres test -w "$home"; then
      rmdir "$home"
      home=$(as_postgres mktemp -d /var/tmp/open-xds-postgres.XXXXXXXX)
    fi
  fi
  echo "$home" >"$STATE/postgres/home"
}

make_cluster() {
  local home
  home=$(postgres_home)
  if as_postgres test -s "$home/data/PG_VERSION"; then return; fi
  as_postgres rm -rf "$home/data" # an initdb that was cut off
  # shellcheck disable=SC2016 # the inner shell expands it
  secret | as_postgres sh -c 'umask 077 && cat >"$1"' sh "$home/secret"
  as_postgres "$(postgres_bin)/initdb" -D "$home/data" --username=xds --pwfile="$home/secret" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$STATE/postgres/initdb.log" 2>&1 9>&- ||
    die "postgres: initdb failed: $(tail -n 3 "$STATE/postgres/initdb.log")"
  as_postgres rm "$home/secret"
}

launch_postgres() {
  make_postgres_home
  make_cluster
  local home
  home=$(postgres_home)
  as_postgres "$(postgres_bin)/pg_ctl" start -D "$home/data" -l "$home/log" -w -t "$READY_SECONDS" -s -o \
    "-p $(port_of postgres) -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200 \
    -c shared_buffers=${XDS_SHARED_BUFFERS:-128MB}" \
    </dev/null >&2 9>&-
  as_postgres head -n 1 "$home/data/postmaster.pid" >"$STATE/postgres/pid"
}

sql() {
  PGCONNECT_TIMEOUT=10 PGPASSWORD=$(secret) "$(postgres_bin)/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(port_of postgres)" \
    -U xds -d postgres -c "$1" </dev/null
}

ready_postgres() {
  if [[ -z $(sql "SELECT 1 FROM pg_database WHERE datname = 'xds'") ]]; then sql "CREATE DATABASE xds"; fi
}

# --- the S3 servers: built with Go, each with a directory ---------------------------------------------------------

program() { echo "$CACHE/$1-${VERSION[$1]}/$1"; }

check_go() {
  local name=$1 found
  command -v go >/dev/null ||
    die "$name: comes as source, and Go is not installed: install Go ${GO_NEEDED[$name]} or later (see go.dev/dl)"
  found=$(go env GOVERSION)
  found=${found#go}
  if [[ $(printf '%s\n' "${GO_NEEDED[$name]}" "${found%% *}" | sort -V | sed -n 1p) != "${GO_NEEDED[$name]}" &&
    $(go env GOTOOLCHAIN) == local ]]; then
    die "$name: needs Go ${GO_NEEDED[$name]} or later to build, this is Go $found"
  fi
}

# Built beside its place and moved there, so that a build cut off leaves nothing that looks finished.
install_s3() {
  local name=$1 bin target
  target=$(program "$name")
  if [[ -x $target ]]; then return; fi
  check_go "$name"
  mkdir -p "$(dirname "$target")"
  bin=$(mktemp -d "$(dirname "$target")/build.XXXXXXXX")
  say "$name: building ${VERSION[$name]} (the first time takes minutes)"
  if ! (cd "$bin" && GOBIN=$bin go install "${PACKAGE[$name]}@${VERSION[$name]}" >"$bin/log" 2>&1 </dev/null 9>&-); then
    tail -n 20 "$bin/log" >&2
    rm -rf "$bin"
    die "$name: the build failed"
  fi
  mv "$bin/$name" "$target"
  rm -rf "$bin"
}

install_minio() { install_s3 minio; }
install_versitygw() { install_s3 versitygw; }

# In the background, in a session of its own, without our lock and our standard input.
launch() {
  local name=$1
  shift
  setsid "$@" >>"$STATE/$name/log" 2>&1 </dev/null 9>&- &
  echo $! >"$STATE/$name/pid"
}

launch_minio() {
  mkdir -p "$STATE/minio/data"
  MINIO_ROOT_USER=xds MINIO_ROOT_PASSWORD=$(secret) MINIO_BROWSER=off MINIO_UPDATE=off launch minio "$(program minio)" \
    server --quiet --address "127.0.0.1:$(port_of minio)" --certs-dir "$STATE/minio/certs" "$STATE/minio/data"
}

# Metadata lies in extended attributes where the file system has them, else in a directory beside the data.
launch_versitygw() {
  local dir=$STATE/versitygw options=()
  mkdir -p "$dir/data" "$dir/sidecar"
  if ! "$PYTHON" -c 'import os, sys; os.setxattr(sys.argv[1], "user.xds", b"1")' "$dir" 2>/dev/null; then
    options=(--sidecar "$dir/sidecar")
  fi
  ROOT_ACCESS_KEY_ID=xds ROOT_SECRET_ACCESS_KEY=$(secret) launch versitygw "$(program versitygw)" \
    --quiet --port "127.0.0.1:$(port_of versitygw)" posix "${options[@]}" "$dir/data"
}

s3_url() { echo "s3+http://xds:$(secret)@127.0.0.1:$(port_of "$1")/xds"; }

check_python() {
  "$PYTHON" -c 'import minio' 2>/dev/null ||
    die "creating a bucket needs the project's dependencies: run 'make venv' first, or set XDS_PYTHON (now $PYTHON)"
}

ready_s3() {
  local name=$1 second
  for ((second = 0; second < READY_SECONDS; second++)); do
    if s3_url "$name" | "$PYTHON" "$ROOT/tools/bucket.py" 2>"$STATE/$name/bucket.log"; then return; fi
    if ! is_running "$name"; then return 1; fi
    sleep 0.5
  done
  cat "$STATE/$name/bucket.log" >&2
  return 1
}

ready_minio() { ready_s3 minio; }
ready_versitygw() { ready_s3 versitygw; }

# --- verbs --------------------------------------------------------------------------------------------------------

do_install() { "install_$1"; }

do_start() {
  local name=$1
  if [[ $name != postgres ]]; then check_python; fi
  mkdir -p "$STATE/$name"
  secret >/dev/null
  "install_$name"
  if is_running "$name"; then
    do_resume "$name"
  else
    choose_port "$name"
    "launch_$name"
  fi
  "ready_$name"
  say "$name: ready on 127.0.0.1:$(port_of "$name")"
}

do_stop() {
  local name=$1 pid
  if ! pid=$(pid_of "$name"); then return; fi
  signal_tree CONT "$pid"
  # PostgreSQL: SIGINT is the fast shutdown, SIGTERM would wait for its clients.
  if [[ $name == postgres ]]; then kill -s INT "$pid"; else kill -s TERM "$pid"; fi
  if ! wait_for_end "$name"; then
    say "$name: still there after $STOP_SECONDS s, killing it"
    do_kill "$name"
  fi
  say "$name: stopped"
}

do_kill() {
  local name=$1 pid
  if ! pid=$(pid_of "$name"); then return; fi
  signal_tree CONT "$pid"
  if [[ $name == postgres ]]; then kill -s QUIT "$pid"; else kill -s KILL "$pid"; fi
  wait_for_end "$name" || die "$name: process $pid does not end"
}

do_pause() { signal_tree STOP "$(pid_of "$1" || die "$1: is not running")"; }
do_resume() { signal_tree CONT "$(pid_of "$1" || die "$1: is not running")"; }

do_restart() {
  do_stop "$1"
  do_start "$1"
}

do_purge() {
  local name=$1
  do_stop "$name"
  if [[ $name == postgres && -s $STATE/postgres/home ]]; then rm -rf -- "$(postgres_home)"; fi
  rm -rf -- "${STATE:?}/$name"
}

do_status() {
  local name=$1 pid
  if pid=$(pid_of "$name"); then
    echo "$name: running, process $pid, 127.0.0.1:$(port_of "$name")"
  else
    echo "$name: not running"
    return 1
  fi
}

do_env() {
  local name=$1
  is_running "$name" || {
    say "$name: not running"
    return 0
  }
  case $name in
    postgres) echo "export XDS_TEST_POSTGRES=postgresql+psycopg://xds:$(secret)@127.0.0.1:$(port_of postgres)/xds" ;;
    minio) echo "export XDS_TEST_S3=$(s3_url minio)" ;;
    versitygw) echo "export XDS_TEST_S3_SECOND=$(s3_url versitygw)" ;;
  esac
}

do_log() {
  local name=$1
  if [[ $name == postgres && ! -s $STATE/postgres/home ]]; then return; fi
  echo "--- $name ---"
  tail -n 25 "$(log_of "$name")" 2>/dev/null || true
}

main() {
  local verb=${1:-help} name
  STATUS=0
  shift || true
  local names=("$@")
  if [[ ${#names[@]} == 0 ]]; then names=("${ALL[@]}"); fi
  for name in "${names[@]}"; do
    [[ " ${ALL[*]} " == *" $name "* ]] || die "unknown service '$name': it is one of ${ALL[*]}"
  done
  case $verb in
    help | -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && return ;;
    install | start | stop | kill | pause | resume | restart | purge | status | env | log) ;;
    *) die "unknown verb '$verb': try $0 help" ;;
  esac
  [[ -d /proc/self ]] || die "needs Linux"
  mkdir -p "$STATE" "$CACHE"
  # One at a time: two test processes may both ask for a start.
  exec 9>"$STATE/lock"
  flock 9
  for name in "${names[@]}"; do
    set +e # a function called as a condition would run without -e inside; a subshell does not
    (
      set -e
      "do_$verb" "$name"
    )
    # shellcheck disable=SC2181
    [[ $? == 0 ]] || failed "$verb" "$name"
    set -e
  done
  return "$STATUS"
}

failed() {
  STATUS=1
  if [[ $1 == *start ]]; then
    say "$2: $1 failed; the end of its log:"
    do_log "$2" >&2
  fi
}

main "$@"
