"""Examine the configuration, the disks, and the other servers: mail, storage of attachments, weather."""

import io
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core import __version__
from core.config import Settings
from core.doctor.findings import Finding, Level, well
from core.errors import Unavailable
from core.smtp import MailUndelivered, SmtpServer
from core.storage import new_key, storage_for
from core.weather import ProviderUnavailable, provider_for

_PROBE: Final = b"allweather doctor"
_CITY: Final = "London"
_GIB: Final = 1024**3
_LOW_BYTES: Final = 2 * _GIB
_FULL_BYTES: Final = _GIB // 4


def configuration(settings: Settings) -> Iterator[Finding]:
    """Examine settings that are valid, but may not be what was meant."""
    yield well("configuration", f"{settings.app_env}, Allweather {__version__}, Python {platform.python_version()}")
    if settings.is_development:
        return
    if urlsplit(settings.public_url).scheme != "https":
        advice = "Set PUBLIC_URL to the address that people use: the links in mails begin with it."
        yield Finding("configuration", Level.WARN, f"PUBLIC_URL is {settings.public_url}", advice)
    if not settings.trusted_proxies:
        advice = "Set TRUSTED_PROXIES to the address of the reverse proxy; otherwise all callers share its rate limit."
        yield Finding("configuration", Level.WARN, "no proxy is trusted", advice)
    if settings.secret_key_previous is not None:
        advice = "Remove SECRET_KEY_PREVIOUS after REFRESH_TOKEN_DAYS."
        yield Finding("configuration", Level.WARN, "the secret key is being replaced", advice)


def disks(settings: Settings) -> Iterator[Finding]:
    """Examine the free space where this installation writes files."""
    places = {"log": Path(settings.log_file).parent} if settings.log_file else {}
    if settings.attachment_storage == "local":
        places["attachments"] = Path(settings.attachment_dir)
    for name, place in places.items():
        existing = next(path for path in (place.resolve(), *place.resolve().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        level = Level.BAD if free < _FULL_BYTES else Level.WARN if free < _LOW_BYTES else Level.OK
        advice = f"Make room on the disk of {existing}." if level else ""
        yield Finding(f"disk of {name}", level, f"{free / _GIB:.1f} GiB are free", advice)


def mail(settings: Settings) -> Iterator[Finding]:
    """Log in to the mail server, without sending a mail."""
    if not settings.has_mail_server:
        level = Level.OK if settings.is_development else Level.WARN
        advice = "Set SMTP_HOST, or nobody can replace a forgotten password." if level else ""
        yield Finding("mail", level, "no mail server is set", advice)
        return
    try:
        SmtpServer(settings).check()
    except MailUndelivered as error:
        advice = "Check the SMTP settings. Mails wait, and are tried again."
        yield Finding("mail", Level.BAD, f"{settings.smtp_host} does not serve us: {error}", advice)
    else:
        yield well("mail", f"{settings.smtp_host} accepts us")


def storage(settings: Settings) -> Iterator[Finding]:
    """Store a small file, read it again and remove it."""
    where = settings.attachment_dir if settings.attachment_storage == "local" else f"bucket {settings.s3_bucket}"
    if settings.attachment_storage == "local" and not Path(where).exists():
        # If this made the directory, it could belong to another user than that of the processes.
        yield well("storage", f"{where} is made with the first file")
        return
    files, key = storage_for(settings), new_key()
    try:
        files.put(key, io.BytesIO(_PROBE))
        try:
            content = b"".join(files.read(key, 0, len(_PROBE)))
        finally:
            files.delete(key)
    except Unavailable as error:
        advice = "See The storage of attachments in docs/operations.md."
        yield Finding("storage", Level.BAD, f"{where}: {type(error.__cause__).__name__}", advice)
        return
    if content == _PROBE:
        yield well("storage", f"{where} can be written and read")
    else:
        advice = "Stop uploads, and examine the storage: it returns other bytes than it was given."
        yield Finding("storage", Level.BAD, f"{where} does not return what was stored", advice)


def weather(settings: Settings) -> Iterator[Finding]:
    """Ask the weather provider for one city and its forecast."""
    provider = provider_for(settings)
    try:
        found = provider.search(_CITY, 1)
        forecasts = provider.forecasts([place.point for place in found])
    except ProviderUnavailable as error:
        advice = "Check OPENWEATHER_API_KEY, OPEN_METEO_URL and the network. Tasks wait, and are tried again."
        yield Finding("weather", Level.WARN, str(error), advice)
        return
    if any(forecasts):
        yield well("weather", f"{provider.name} responds")
    else:
        text = f"{provider.name} has no forecast of {_CITY}"
        yield Finding("weather", Level.WARN, text, "Check the URLs of the provider.")
