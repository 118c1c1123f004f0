"""The security headers of every response, also of those that are written before the application is asked."""

from typing import Final

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
# If a browser shows a response as a page in spite of its type, `sandbox` takes the origin of the API away from it.
POLICY_FOR_DATA: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
