#!/usr/bin/env bash
# Uploads scenes and labels, trains, maps, and prints hectares, with curl alone.
#
#   examples/main_job.sh FOLDER [CONFIG]
#
# FOLDER holds train.tif, val.tif and new.tif (scenes), and plots.geojson: the surveyed plots of the first two, whose
# attribute `crop` says what grows there; land that no plot covers is unlabelled. CONFIG is JSON, for instance
# {"epochs": 20, "net": {"depth": 4, "width": 16}}.
set -euo pipefail
FOLDER=$1
CONFIG=${2:-'{}'}
URL=${CANEMAP_URL:-http://127.0.0.1:8000}
JSON='Content-Type: application/json'
CURL=(curl --silent --show-error --fail-with-body)
if [[ -n ${CANEMAP_KEY:-} ]]; then # in a file, because other users of the machine can see arguments
    header=$(mktemp)
    trap 'rm -f "$header"' EXIT
    printf 'Authorization: Bearer %s\n' "$CANEMAP_KEY" > "$header"
    CURL+=(--header "@$header")
fi

# Print the string under a key of the JSON document on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Wait until a job has ended, and fail if it did not succeed. With ?wait=60 the answer comes when the job ends.
finish() {
    local status=accepted
    while [[ $status == accepted || $status == running ]]; do
        status=$("${CURL[@]}" "$URL/v1/jobs/$1?wait=60" | field status)
    done
    echo "$1 $status" >&2
    [[ $status == successful ]]
}

for scene in train val new; do
    "${CURL[@]}" -o /dev/null -T "$FOLDER/$scene.tif" "$URL/v1/scenes/$scene"
done
# classes={"sugarcane":1,"*":0}, encoded for a URL; * is any other crop
"${CURL[@]}" -o /dev/null -T "$FOLDER/plots.geojson" \
    "$URL/v1/labels/plots?class_field=crop&classes=%7B%22sugarcane%22:1,%22*%22:0%7D"

dataset=$("${CURL[@]}" -H "$JSON" "$URL/v1/datasets" -d '{
    "name": "plots", "scenes": ["train", "val"], "labels": ["plots"],
    "split": {"by": "scene", "train": ["train"], "val": ["val"]}}' | field id)
finish "$dataset"

training=$("${CURL[@]}" -H "$JSON" "$URL/v1/trainings" \
    -d "{\"dataset\": \"$dataset\", \"register_as\": \"cane\", \"config\": $CONFIG}" | field id)
finish "$training"

# the version that was just made; cane@champion may be an earlier one
version=$("${CURL[@]}" "$URL/v1/trainings/$training" \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["model"]["version"])')
prediction=$("${CURL[@]}" -H "$JSON" "$URL/v1/predictions" \
    -d '{"scene": "new", "model": "cane:'$version'"}' | field id)
finish "$prediction"
for file in classes.tif probability.tif polygons.gpkg classes.qml; do
    "${CURL[@]}" -o "$FOLDER/$file" "$URL/v1/predictions/$prediction/$file"
done
"${CURL[@]}" "$URL/v1/predictions/$prediction/areas?f=csv"
