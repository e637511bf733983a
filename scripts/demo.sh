#!/bin/sh
# The main job, for real: videos from manifests, nothing the second time, one video after one changed line.
set -eu
folder=${1:-demo}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\n\033[36m$ %s\033[0m\n' "$*"; "$@"; }

say "1. A project: settings, a manifest, layouts, three short clips"
run reconciler init "$folder"

say "2. What is missing, and why"
run reconciler -C "$folder" plan

say "3. Make it"
run reconciler -C "$folder" apply --yes

say "4. Once more: nothing happens"
run reconciler -C "$folder" apply --yes

rows=$folder/data/lessons.csv
if grep -q '^zoom.*bottom-right' "$rows"; then from=bottom-right to=bottom-left; else from=bottom-left to=bottom-right; fi
say "5. Change one line: the small picture of lesson zoom goes from $from to $to"
sed "/^zoom/s/$from/$to/" "$rows" > "$rows.new" && mv "$rows.new" "$rows"
run reconciler -C "$folder" plan
run reconciler -C "$folder" apply --yes

say "6. What there is now"
run reconciler -C "$folder" status

say "The videos are in $folder/buckets/demo-1250000000/output/"
cat <<EOT
Play them, edit $folder/manifests/demo.yaml, and go on:

    . .venv/bin/activate
    reconciler -C $folder plan
    reconciler -C $folder apply
EOT
