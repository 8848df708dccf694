#!/usr/bin/env bash
# Uploads a large scene over a connection that breaks, with curl alone. Run it again after whatever interrupted it: it
# goes on where the service has got to, and sends nothing twice.
#
#   examples/resumed_upload.sh FILE NAME
#
# FILE.upload keeps the address of the upload until the scene is there. CANEMAP_URL and CANEMAP_KEY as in main_job.sh.
set -euo pipefail
FILE=$1
NAME=$2
URL=${CANEMAP_URL:-http://127.0.0.1:8000}
NOTE=$FILE.upload
SIZE=$(wc -c < "$FILE" | tr -d ' ')
CURL=(curl --silent --show-error --fail-with-body)
if [[ -n ${CANEMAP_KEY:-} ]]; then # in a file, because other users of the machine can see arguments
    header=$(mktemp)
    trap 'rm -f "$header"' EXIT
    printf 'Authorization: Bearer %s\n' "$CANEMAP_KEY" > "$header"
    CURL+=(--header "@$header")
fi

# Print how many bytes the service has; nothing if it cannot be asked, or knows no such upload.
offset() { curl --head "${CURL[@]:1}" "$(cat "$NOTE")" 2> /dev/null | tr -d '\r' | sed -n 's/^upload-offset: //Ip'; }

if [[ ! -e $NOTE ]]; then
    id=$("${CURL[@]}" -X POST -H "Upload-Length: $SIZE" "$URL/v1/uploads" \
        | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
    echo "$URL/v1/uploads/$id" > "$NOTE"
fi
while sent=$(offset) && [[ ${sent:-0} != "$SIZE" ]]; do
    echo "${sent:-?} of $SIZE bytes" >&2
    "${CURL[@]}" -C "${sent:-0}" -T "$FILE" "$(cat "$NOTE")" || sleep 2
done
"${CURL[@]}" -X PUT "$URL/v1/scenes/$NAME?upload=$(sed 's|.*/||' "$NOTE")"
rm "$NOTE"
