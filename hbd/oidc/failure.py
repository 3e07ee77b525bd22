"""Why a sign-in at the provider came to nothing."""

from __future__ import annotations

from hbd.errors import HbdError

ASK_ADMIN = "If it stays so, an admin finds the cause in the log of hbd."
BROKEN = f"The sign-in provider did not answer as it should. {ASK_ADMIN}"


class SignInFailed(HbdError):
    """Nobody was signed in. reason: for whoever tried; detail: for the log, one line. Neither holds a secret."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason} ({detail})")
        self.reason = reason
        self.detail = detail


def broken(detail: str) -> SignInFailed:
    """The provider said what it must not say, or nothing."""
    return SignInFailed(BROKEN, detail)


def shown(text: str, most: int = 200) -> str:
    """What somebody else wrote, as the log may repeat it: one line, nothing that cannot be seen, most characters."""
    visible = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:most]
    )
    return visible + "…" * (len(text) > most)
