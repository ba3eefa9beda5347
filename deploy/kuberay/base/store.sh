#!/bin/sh
# Starts SeaweedFS as an S3 store that nobody reaches without a login. Only S3 needs one: its master,
# volumes and filer take every request, and the port beside S3's (gRPC) even takes new accounts. So all
# of it listens on loopback, and deploy/door.py lets in what comes for S3.
# Accounts: the administrator makes buckets; the two others reach one bucket each.
set -eu
secrets=${GATESEARCH_SECRETS:-/run/secrets}
accounts=${GATESEARCH_SCRATCH:-/tmp}/accounts.json
umask 077
account() {
  printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' \
    "$1" "$1" "$(cat "$secrets/store_$1")" "$2"
}
bucket() {
  account "$1" "\"Read:$1\", \"Write:$1\", \"List:$1\", \"Tagging:$1\""
}
printf '{"identities": [%s, %s, %s]}' \
  "$(account administrator '"Admin"')" "$(bucket mlflow)" "$(bucket checkpoints)" > "$accounts"
# Buckets are small: with SeaweedFS's default volume size, two of them would claim a disk.
exec weed -logtostderr=true server -dir="${GATESEARCH_STORE:-/data}" \
  -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.volumeSizeLimitMB=1024 -volume.max=0 \
  -s3 -s3.port=8334 -s3.config="$accounts" -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 \
  -s3.autoCreateBucket=false -s3.allowDeleteBucketNotEmpty=false "$@"
