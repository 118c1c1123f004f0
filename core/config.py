"""The settings, read once from the environment when a process starts.

Every setting is an environment variable of the same name in capitals. Its value may instead be in a file. Then the
variable has `_FILE` at the end of its name and holds the path of the file. Container platforms pass secrets like this.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from core import redis_clients

API_PREFIX: Final = "/api/v1"
"""The path of the API below `PUBLIC_URL`: the routes of the server begin with it, and so do the links in mails."""

MINIMUM_KEY_BYTES = 32
_FILE_SUFFIX = "_FILE"
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
# An empty variable counts as not set. The exception is the log file: there it means that no file is written.
_MAY_BE_EMPTY = frozenset({"log_file"})


class ConfigurationError(Exception):
    """The settings in the environment are not usable; the message says which variable is wrong and why."""


def _as_list(value: object) -> object:
    """Split a comma-separated variable into a tuple."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


class Settings(BaseModel):
    """Everything that differs between two installations. Durations are in seconds unless a name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    app_name: str = "Allweather"
    app_env: Literal["development", "production"] = "production"
    secret_key: SecretStr
    secret_key_previous: SecretStr | None = None
    database_url: SecretStr
    redis_url: SecretStr

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    web_concurrency: int = Field(default=1, gt=0)
    web_stays_on_core: bool = False

    console: bool = True
    metrics_host: str = "127.0.0.1"
    # Two ports above it are used too.
    metrics_port: int | None = Field(default=None, ge=1, le=65533)

    sentry_dsn: SecretStr | None = None
    otel_exporter_otlp_endpoint: str | None = None
    traces_ratio: float = Field(default=1.0, ge=0, le=1)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_file: str = "app.log"
    log_file_bytes: int = 10 * 1024 * 1024
    log_file_backups: int = 5

    admin_email: str | None = None
    admin_password: SecretStr | None = None

    registration: Literal["open", "invite", "closed"] = "open"
    invitation_days: int = Field(default=7, gt=0)

    access_token_minutes: int = Field(default=30, gt=0)
    refresh_token_days: int = Field(default=7, gt=0)
    session_cache_seconds: float = Field(default=5.0, ge=0)
    bcrypt_rounds: int = Field(default=12, ge=4, le=31)
    password_min_score: int = Field(default=0, ge=0, le=4)

    tasks_per_user: int = Field(default=100_000, gt=0)
    groups_per_user: int = Field(default=200, gt=0)
    tokens_per_user: int = Field(default=100, gt=0)
    comments_per_user: int = Field(default=100_000, gt=0)

    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    rate_limit: str = "100/minute"
    rate_limit_credentials: str = "10/minute"
    rate_limit_health: str = "600/minute"
    rate_limit_files: str = "3000/minute"

    database_threads: int = Field(default=8, gt=0)
    database_timeout: float = Field(default=5.0, gt=0)
    password_threads: int = Field(default=2, gt=0)
    max_body_bytes: int = Field(default=1024 * 1024, gt=0)
    import_max_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    request_head_seconds: float = Field(default=10.0, gt=0)
    request_body_seconds: float = Field(default=120.0, gt=0)
    request_stall_seconds: float = Field(default=10.0, gt=0)

    attachment_storage: Literal["local", "s3"] = "local"
    attachment_dir: str = "attachments"
    attachment_max_bytes: int = Field(default=10 * 1024 * 1024, gt=0)
    attachment_quota_bytes: int = Field(default=1024 * 1024 * 1024, gt=0)
    attachment_uploads_per_user: int = Field(default=6, gt=0)
    attachment_uploads: int = Field(default=30, gt=0)
    s3_bucket: str | None = Field(default=None, validate_default=True)
    s3_endpoint_url: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None

    socket_queue_frames: int = Field(default=256, gt=0)
    sockets_per_user: int = Field(default=5, gt=0)
    sockets_waiting: int = Field(default=100, gt=0)
    sockets_waiting_per_address: int = Field(default=10, gt=0)
    ws_ticket_seconds: int = Field(default=30, gt=0)

    event_retention_days: int = Field(default=7, gt=0)
    notification_retention_days: int = Field(default=90, gt=0)
    event_stream_length: int = Field(default=10_000, gt=0)

    public_url: str = "http://127.0.0.1:8000"
    password_reset_url: str | None = None
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, gt=0, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_timeout: float = Field(default=10.0, gt=0)
    mail_from: str = "Allweather <noreply@localhost>"
    mail_attempts: int = Field(default=8, gt=0)
    mail_retry_seconds: float = Field(default=30.0, gt=0)
    mails_per_hour: int = Field(default=1000, gt=0)
    mails_per_hour_per_sender: int = Field(default=100, gt=0)
    mails_per_hour_per_recipient: int = Field(default=30, gt=0)

    openweather_api_key: SecretStr | None = None
    openweather_url: str = "https://api.openweathermap.org"
    open_meteo_api_key: SecretStr | None = None
    open_meteo_url: str | None = None
    open_meteo_geocoding_url: str | None = None
    weather_cache_seconds: int = Field(default=3600, gt=0)
    weather_timeout: float = Field(default=8.0, gt=0)
    weather_attempts: int = Field(default=6, gt=0)
    weather_retry_seconds: float = Field(default=4.0, gt=0)
    weather_calls_per_day: int = Field(default=10_000, gt=0)
    weather_new_places_per_user_per_day: int = Field(default=1000, gt=0)

    _lists = field_validator("allowed_origins", "trusted_proxies", mode="before")(_as_list)

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MINIMUM_KEY_BYTES:
            raise ValueError(f"must be at least {MINIMUM_KEY_BYTES} bytes long; `openssl rand -hex 32` makes one")
        return value

    @field_validator("redis_url")
    @classmethod
    def _complete_if_it_names_sentinels(cls, value: SecretStr) -> SecretStr:
        redis_clients.parse(value.get_secret_value())
        return value

    @field_validator("sentry_dsn")
    @classmethod
    def _complete_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit("" if value is None else value.get_secret_value())
        is_complete = parts.scheme in {"http", "https"} and parts.username and parts.hostname and parts.path.strip("/")
        if value is not None and not is_complete:
            raise ValueError("must have the form https://key@host/project")
        return value

    @field_validator("s3_bucket")
    @classmethod
    def _require_bucket_for_s3(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("attachment_storage") == "s3":
            raise ValueError("must be set where ATTACHMENT_STORAGE is s3")
        return value

    @field_validator("password_reset_url")
    @classmethod
    def _require_private_transport(cls, value: str | None) -> str | None:
        """The link contains a secret, which must not travel unencrypted, except on the machine itself."""
        parts = urlsplit(value or "")
        is_local = parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS
        if value is not None and not (is_local or (parts.scheme == "https" and parts.hostname)):
            raise ValueError("must begin with https://, or with http://localhost")
        return value

    @property
    def is_development(self) -> bool:
        """Whether people read the logs in a terminal and cookies may travel over plain HTTP."""
        return self.app_env == "development"

    @property
    def has_mail_server(self) -> bool:
        """Whether mails can be sent at all."""
        return self.smtp_host is not None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings.

        Raises:
            ConfigurationError: if a variable is missing or not valid.
        """
        values: dict[str, str] = {}
        for name in cls.model_fields:
            variable = name.upper()
            if secret_file := environ.get(variable + _FILE_SUFFIX):
                values[name] = _read_secret(variable + _FILE_SUFFIX, secret_file)
            elif environ.get(variable) or (variable in environ and name in _MAY_BE_EMPTY):
                values[name] = environ[variable]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(f"{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
            raise ConfigurationError(f"The environment is not usable: {problems}") from None


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{variable} names a file that cannot be read: {error.strerror}") from None
