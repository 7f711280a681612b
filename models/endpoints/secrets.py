"""What may be a key: refused where it does not belong, and blotted out of whatever is printed or kept.

A key comes from the environment and leaves this process in one header. Servers and libraries repeat what they were
sent, so every text of theirs goes through `scrubbed` before anybody sees it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HIDDEN = "***"
# Names as shells have them; what has none of the look of a name is more likely the key itself.
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
# Prefixes under which vendors hand keys out, and long runs of letters and digits mixed, which no name or model has.
_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|pplx|fw|tgp|key|glpat|ghp|AIza|AKIA)[-_A-Za-z0-9]{16,}"
    r"|\b(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{32,}\b"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic|authorization:?|x-api-key:?|api-key:?)(\s+)[^\s'\",;}{]+")
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_QUERY = re.compile(r"(?i)([?&](?:[a-z_-]*(?:key|token|secret|sig|signature|password|auth)[a-z_-]*)=)[^&\s'\"]+")
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")


def scrubbed(text: str, *secrets: str | None) -> str:
    """Return a text without the given secrets, and without whatever else looks like one.

    Examples
    --------
    >>> from embargo.models.endpoints.secrets import scrubbed
    >>> scrubbed("bad key 'open sesame' for https://me:mine@host/v1?api_key=abc", "open sesame")
    "bad key '***' for https://***@host/v1?api_key=***"
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", _USERINFO.sub(HIDDEN, text))
    return _KEY.sub(HIDDEN, text)


def holds_key(text: str) -> bool:
    """Tell whether a text seems to hold a key.

    Examples
    --------
    >>> from embargo.models.endpoints.secrets import holds_key
    >>> holds_key("sk-abcdefghijklmnop1234"), holds_key("OPENAI_API_KEY"), holds_key("gpt-4o-mini-2024-07-18")
    (True, False, False)
    """
    return scrubbed(text) != text


def fault_of_name(name: str) -> str | None:
    """Say why the name of a variable of the environment is none, without repeating it; None where it is fine."""
    if _NAME.fullmatch(name) and not holds_key(name) and not (len(name) >= 20 and "_" not in name):
        return None
    return (
        "is no name of a variable of the environment, such as OPENAI_API_KEY; if it is the key itself, take it out of "
        "the file, make it invalid where it was issued, and export the new one under a name"
    )


def fault_of_address(url: str, *, with_key: bool) -> str | None:
    """Say why an address cannot be used, without repeating it; None where it is fine.

    Nothing secret may stand in it, and a key travels over TLS unless it stays on this machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address; write it as https://host/v1"
    if parts.scheme not in ("http", "https") or not host:
        return "is no address; write it as https://host/v1"
    if "@" in parts.netloc or parts.query or parts.fragment or holds_key(url):
        return (
            "must be the bare address, such as https://host/v1, without a user, a query or a key: those would stand in "
            "files and messages. Export the key and name its variable in 'key'"
        )
    if with_key and parts.scheme == "http" and not is_loopback(url):
        return "is not encrypted, and a key is never sent that way to another machine; use https://"
    return None


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine."""
    return bool(_LOOPBACK.fullmatch(urlsplit(url).hostname or ""))
