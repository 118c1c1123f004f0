"""The security headers of every response, also of those that are written before the application is asked.

The server adds them (`api.server`), because their bytes are the same for all responses.
"""

from typing import Final

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
# Not in development, where there is no TLS.
TRANSPORT_SECURITY: Final = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
# If a browser shows a response as a page in spite of its type, `sandbox` takes the origin of the API away from it.
POLICY_FOR_DATA: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
