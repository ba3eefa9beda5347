#!/bin/sh
# Run once by PostgreSQL's image, when it makes its data folder: a role and databases of its own for
# each of those who use it, none of them a superuser. Passwords are read from files, named as the roles
# are, and are on no command line.
secrets=${GATESEARCH_SECRETS:-/run/secrets}
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
SET password_encryption = 'scram-sha-256';
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE mlflow LOGIN PASSWORD '$(cat "$secrets/database_mlflow")';
CREATE ROLE studies LOGIN PASSWORD '$(cat "$secrets/database_studies")';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_accounts OWNER mlflow;
CREATE DATABASE studies OWNER studies;
REVOKE CONNECT, TEMPORARY ON DATABASE mlflow, mlflow_accounts, studies, postgres, template1 FROM PUBLIC;
SQL
