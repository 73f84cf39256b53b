"""The identity commands that are not run, each with its reason; all others must have been."""

FEDERATION = "federation comes in a later issue"
OAUTH = "OAuth 1.0a is not served: its paths answer 404"

REASONS = {
    "access token create": OAUTH,
    "consumer": OAUTH,
    "request token": OAUTH,
    "federation": FEDERATION,
    "identity provider": FEDERATION,
    "mapping": FEDERATION,
    "service provider": FEDERATION,
}
