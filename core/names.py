"""The one normal form of usernames and emails.

What people type is normalized here before it is stored and before it is looked up, so whoever has registered with some
text can log in with the same text. PostgreSQL's `lower()` and Python's `str.lower()` do not suffice: they treat some
letters differently, such as the Greek final sigma and the Turkish İ, and neither knows that `é` may be written in two
ways, or that a domain has an ASCII form.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

# These characters are invisible, although Unicode counts them as letters, marks or symbols.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# An "encoded word" of RFC 2047 begins with this.
_ENCODED: Final = "=?"


def normalized(name: str) -> str:
    """Return a username or an email as it is stored: in NFKC, and an email with its domain in small letters."""
    text = _nfkc(name).strip()
    address = _address(text)
    return text if address is None else str(address.normalized)


def normalized_email(text: str) -> str:
    """Return an email as it is stored.

    Raises:
        ValueError: if it is not an email, or if its text would be decoded in the header of a mail: then the mail would
            go to another mailbox.
    """
    email = str(_validated(_nfkc(text).strip()).normalized)
    if _ENCODED in email:
        raise ValueError
    return email


def mail_address(email: str) -> str:
    """Return an email as it is written into a mail: with the ASCII form of its domain, which all mail servers take."""
    address = _address(email)
    return email if address is None else f"{address.local_part}@{address.ascii_domain}"


def name_key(name: str) -> str:
    """Return the text by which a username or an email is compared: two names with the same key are the same name."""
    text = _nfkc(name).strip()
    address = _address(text)
    # The ASCII form of a domain distinguishes domains that differ in more than case, such as those with ß and with ss.
    return _folded(text) if address is None else f"{_folded(str(address.local_part))}@{address.ascii_domain}"


def name_keys(columns: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the columns `username_key` and `email_key`, as far as these columns contain the names they belong to."""
    names = {column: columns[column] for column in ("username", "email") if column in columns}
    return {f"{column}_key": None if name is None else name_key(name) for column, name in names.items()}


def has_unseen_characters(name: str) -> bool:
    """Whether a name contains control characters, or characters that cannot be seen or change the writing direction."""
    return name != without_unseen_characters(name)


def without_unseen_characters(text: str) -> str:
    """Return a text without the characters that `has_unseen_characters()` finds; line ends are among them."""
    return "".join(character for character in _INVISIBLE.sub("", text) if unicodedata.category(character)[0] != "C")


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _folded(text: str) -> str:
    """Fold the case of a text in NFKC. This may create sequences that NFKC composes and that fold again."""
    return _nfkc(_nfkc(text.casefold()).casefold())


def _address(text: str) -> ValidatedEmail | None:
    if "@" not in text:
        return None
    try:
        return _validated(text)
    except EmailNotValidError:
        return None


def _validated(text: str) -> ValidatedEmail:
    # Deliverability is not checked, because this would need a DNS query for each registration.
    return validate_email(text, check_deliverability=False, globally_deliverable=False)
