#!/bin/sh
# Writes the folder `secrets` for docker-compose.yml, with new passwords. A folder that is there stays as it is.
# The containers' users must be able to read the files; other users of this machine cannot enter the folder.
set -eu
folder=${1:-secrets}

random() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

if [ -e "$folder" ]; then
  echo "$folder is there already, and stays as it is" >&2
  exit 0
fi
umask 022
mkdir -m 700 "$folder"
password=$(random)
key=canemap
secret=$(random)
printf '%s' "$password" > "$folder/postgres_password"
printf 'postgresql+psycopg://canemap:%s@postgres/canemap' "$password" > "$folder/canemap_database_url"
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret" > "$folder/store.ini"
printf '{"identities": [{"name": "canemap", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' \
  "$key" "$secret" > "$folder/store.json"
