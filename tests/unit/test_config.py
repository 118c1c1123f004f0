"""The settings: their sources, and environments that are refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.config import ConfigurationError, Settings

USABLE = {"SECRET_KEY": "k" * 32, "DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://r/0"}


def test_the_defaults_are_for_production() -> None:
    settings = Settings.from_environ(USABLE)

    assert not settings.is_development
    assert (settings.access_token_minutes, settings.refresh_token_days, settings.bcrypt_rounds) == (30, 7, 12)
    assert settings.rate_limit == "100/minute"


@pytest.mark.parametrize("missing", USABLE)
def test_required_settings_have_no_default(missing: str) -> None:
    given = {name: value for name, value in USABLE.items() if name != missing}

    with pytest.raises(ConfigurationError, match=missing):
        Settings.from_environ(given)


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    assert Settings.from_environ(USABLE | {"RATE_LIMIT": "", "ADMIN_EMAIL": ""}).rate_limit == "100/minute"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("f" * 40 + "\n")

    settings = Settings.from_environ(USABLE | {"SECRET_KEY_FILE": str(file)})

    assert settings.secret_key.get_secret_value() == "f" * 40


def test_a_missing_secret_file_is_named_in_the_error() -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY_FILE"):
        Settings.from_environ(USABLE | {"SECRET_KEY_FILE": "/no/such/file"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SECRET_KEY", "too-short-a-key"),
        ("SECRET_KEY_PREVIOUS", "a-short-key"),
        ("BCRYPT_ROUNDS", "three"),
        ("APP_ENV", "staging"),
        ("PORT", "99999"),
        ("METRICS_PORT", "65534"),
        ("SENTRY_DSN", "https://sentry.example.com/1"),
        ("SENTRY_DSN", "sentry"),
        ("PASSWORD_RESET_URL", "http://tasks.example.com/reset"),
        ("PASSWORD_RESET_URL", "https:///reset"),
        ("PASSWORD_RESET_URL", "tasks.example.com/reset"),
    ],
)
def test_a_bad_value_is_named_but_not_repeated(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as failure:
        Settings.from_environ(USABLE | {variable: value})

    assert value not in str(failure.value)


@pytest.mark.parametrize("url", ["https://tasks.example.com/reset", "http://localhost:3000/reset", "http://[::1]/"])
def test_the_page_for_a_new_password_is_encrypted_or_local(url: str) -> None:
    assert Settings.from_environ(USABLE | {"PASSWORD_RESET_URL": url}).password_reset_url == url


def test_lists_are_separated_by_commas() -> None:
    settings = Settings.from_environ(USABLE | {"ALLOWED_ORIGINS": "https://a.example, https://b.example,"})

    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_settings_are_immutable_and_hide_their_secrets() -> None:
    settings = Settings.from_environ(USABLE)

    with pytest.raises(ValidationError):
        settings.app_name = "another"
    assert "k" * 32 not in repr(settings)


def test_s3_needs_a_bucket() -> None:
    with pytest.raises(ConfigurationError, match="S3_BUCKET"):
        Settings.from_environ(USABLE | {"ATTACHMENT_STORAGE": "s3"})

    assert Settings.from_environ(USABLE | {"ATTACHMENT_STORAGE": "s3", "S3_BUCKET": "b"}).s3_bucket == "b"
