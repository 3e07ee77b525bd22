"""Sessions, or API tokens, in memory: by their hash, and by whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from hbd.accounts.model import ApiToken, Session

Key = TypeVar("Key", Session, ApiToken)


class Keys(Generic[Key]):
    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_hash: dict[bytes, Key] = {}
        self._by_user: dict[int, dict[bytes, Key]] = {}
        for key in keys:
            self.add(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_hash.values())

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, key: Key) -> bool:
        return key.hash in self._by_hash

    def get(self, hashed: bytes) -> Key | None:
        return self._by_hash.get(hashed)

    def of(self, user_id: int) -> list[Key]:
        """In the order in which they came."""
        return list(self._by_user.get(user_id, {}).values())

    def count(self, user_id: int) -> int:
        return len(self._by_user.get(user_id, ()))

    def add(self, key: Key) -> None:
        self._by_hash[key.hash] = key
        self._by_user.setdefault(key.user_id, {})[key.hash] = key

    def drop(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if self._by_hash.pop(key.hash, None) is not None:
                own = self._by_user[key.user_id]
                del own[key.hash]
                if not own:
                    del self._by_user[key.user_id]
