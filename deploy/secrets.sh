#!/bin/sh
# Makes what the services of deploy/compose and deploy/kuberay know each other by: a file for each secret
# in deploy/secrets, where none is yet. Git and the image leave the folder out. Files can be read by the
# containers' users; nobody else gets into the folder.
set -eu
folder=${1:-$(dirname "$0")/secrets}
install -d -m 0700 "$folder"
umask 022
for name in auth_token database_superuser database_mlflow database_studies \
  store_administrator store_mlflow store_checkpoints tracking_password tracking_session; do
  [ -s "$folder/$name" ] || openssl rand -hex 32 | tr -d '\n' > "$folder/$name"
done
