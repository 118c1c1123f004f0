"""An S3 server for tests, and settings that use it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import boto3
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from core.config import Settings

_BUCKET = "attachments"
_KEY = "key"
_SECRET = "secret"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run the server, create a bucket in it, and yield its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=_KEY, aws_secret_access_key=_SECRET
    )
    with closing(client):
        client.create_bucket(Bucket=_BUCKET)
    yield url
    server.stop()


def s3_settings(settings: Settings, url: str, bucket: str = _BUCKET) -> Settings:
    """Return settings that store attachments on this server."""
    return settings.model_copy(
        update={
            "attachment_storage": "s3",
            "s3_endpoint_url": url,
            "s3_bucket": bucket,
            "s3_access_key_id": _KEY,
            "s3_secret_access_key": SecretStr(_SECRET),
        }
    )
