"""The form and the responses of attachments."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from api.http.fields import Instant

Binary = Annotated[
    bytes, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream", "examples": ["(bytes)"]})
]
"""The bytes of a file. This type is only for the API description; the bytes themselves are streamed."""


class AttachmentForm(BaseModel):
    """One file, with its name."""

    file: Binary


class AttachmentOut(BaseModel):
    """A file of a task. `content_type` is determined from its bytes, and `sha256` is their hash in hexadecimal."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 3,
                    "task_id": 7,
                    "user_id": 1,
                    "filename": "gutters.jpg",
                    "content_type": "image/jpeg",
                    "size": 48213,
                    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                    "created_at": "2026-05-01T09:00:00+00:00",
                }
            ]
        }
    )

    id: int
    task_id: int
    user_id: int
    filename: str
    content_type: str
    size: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_at: Instant
