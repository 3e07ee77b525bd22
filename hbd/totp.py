"""The second factor: codes of an authenticator app (RFC 6238), and recovery codes for when it is lost.

Pure: time is passed in, in Unix seconds. A code is 6 digits of HMAC-SHA-1 and changes every 30 seconds: what every
authenticator app knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from urllib.parse import quote, urlencode

STEP_SECONDS = 30
DIGITS = 6
TOLERANCE = 1  # steps that a clock may be off, either way
SECRET_BYTES = 20

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o, which look like digits, and u
GROUPS, GROUP_LENGTH = 4, 4  # 16 characters of 5 bits: 80 bits

SVG_ATTRIBUTES = 'xmlns="http://www.w3.org/2000/svg" role="img" aria-label="QR code for an authenticator app"'

_CODE = re.compile(rf"[0-9]{{{DIGITS}}}")
_AS_READ = str.maketrans("ilo", "110", "- \t")


def new_secret() -> str:
    """160 random bits in base32, as apps take them."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def uri(secret: str, user: str, issuer: str) -> str:
    """What an app reads from the QR code. issuer: the name that it shows for us."""
    issuer = issuer.replace(":", " ")  # a colon ends it
    settings = {"secret": secret, "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_SECONDS}
    return f"otpauth://totp/{quote(issuer, '')}:{quote(user, '@')}?{urlencode(settings, quote_via=quote)}"


def code_at(secret: str, step: int) -> str:
    """The code of one step; steps count from 1970. Raises ValueError for a secret that is not base32."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def match(secret: str, code: str, now: float, after_step: int) -> int | None:
    """The step whose code this is, None when it is none that is good now. Spaces in the code do not count.

    after_step: the step of the last code that was taken, so that none is taken twice; -1 before the first.
    """
    code = "".join(code.split())
    if not _CODE.fullmatch(code):
        return None
    current = int(now // STEP_SECONDS)
    for step in range(max(after_step + 1, current - TOLERANCE), current + TOLERANCE + 1):
        if hmac.compare_digest(code_at(secret, step), code):
            return step
    return None


def qr_svg(uri: str) -> str:
    """The QR code of a text, as an SVG element for a page: black on white, with the margin scanners need.

    It holds no script and no style, which a strict content security policy would not let in.
    """
    import segno  # few ever need it

    svg = segno.make_qr(uri, error="m").svg_inline(
        scale=5, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return svg.replace("<svg ", f"<svg {SVG_ATTRIBUTES} ", 1)


def new_recovery_codes(count: int = 10) -> list[str]:
    """Random codes such as ``7k3m-q0tz-92xw-bd5e``, each to be taken once in place of an app's."""
    return ["-".join(_group() for _ in range(GROUPS)) for _ in range(count)]


def recovery_hash(code: str) -> bytes:
    """What is stored of a recovery code: the same for all ways to write it."""
    # Unlike a password, a code is 80 random bits: more than anybody can try, however fast the hash is.
    return hashlib.sha256(code.lower().translate(_AS_READ).encode("utf-8", "surrogatepass")).digest()


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH))
