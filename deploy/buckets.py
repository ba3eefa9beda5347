"""Makes buckets in the S3 store of a service, where they are missing.

    python -m deploy.buckets NAME...

Endpoint and credentials are in the environment (AWS_*), those of the store's administrator.
"""

import sys
import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

PATIENCE = 120.0  #: seconds that a store may take to come up


def make(names: list[str], patience: float = PATIENCE) -> list[str]:
    """Make the buckets that are missing and return their names.

    Raises botocore's errors where the store does not answer in time, or refuses.
    """
    until = time.monotonic() + patience
    client = boto3.Session().client("s3")
    while True:
        try:
            return _make(client, names)
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > until or _is_refusal(error):
                raise
        time.sleep(2)


def _make(client: Any, names: list[str]) -> list[str]:
    present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    missing = [name for name in names if name not in present]
    for name in missing:
        client.create_bucket(Bucket=name)
    return missing


def _is_refusal(error: Exception) -> bool:
    """Return whether the store answered and said no: waiting would not help."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return 400 <= int(status) < 500


if __name__ == "__main__":
    make(sys.argv[1:])
