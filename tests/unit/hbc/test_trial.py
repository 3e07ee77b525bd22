"""The way back of an agent that has renewed itself: once, from a version that does not reach a daemon."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import SLOW

from hbc import __version__, trial
from hbc.trial import MOST_STARTS, Trial, prepare

OLD, NEW = b"the version that ran", b"the version on trial"
NEW_DIGEST = hashlib.sha256(NEW).hexdigest()


class Host:
    """A state directory and a package, and how often the agent was run anew by itself."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.package = folder / "hbc.pyz"
        self.package.write_bytes(OLD)
        self.anew = 0
        self._running: Trial | None = None

    def renewed(self, digest: str = NEW_DIGEST) -> bool:
        """As ``update_agent`` does it; whether there is a way back."""
        way_back = prepare(self.state, self.package, "99.0.0", digest)
        self.package.write_bytes(NEW)
        return way_back

    def start(self) -> Trial:
        """Anew; the agent that ran until now has ended."""
        self.end()
        self._running = self.start_beside(self.package)
        return self._running

    def start_beside(self, package: Path) -> Trial:
        """A package with the same state, whatever runs."""
        return Trial(self.state, package, self._begin_anew)

    def end(self) -> None:
        if self._running is not None:
            self._running.close()

    def _begin_anew(self) -> None:
        self.anew += 1

    @property
    def on_trial(self) -> bool:
        return json.loads((self.state / "renewal.json").read_bytes())["trial"] is not None

    @property
    def files(self) -> set[str]:
        return {file.name for file in self.state.iterdir()} - {"renewal.lock"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.end()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is over as soon as it begins."""
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30 * SLOW
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def gone_back(host: Host) -> Trial:
    """A renewal that did not work, and the agent that came back."""
    assert host.renewed()
    host.start()
    eventually(lambda: host.anew == 1)
    return host.start()


# ----------------------------------------------------------------------------------------------------- the way back


@pytest.mark.usefixtures("no_time")
def test_a_version_that_does_not_reach_a_daemon_in_time_is_exchanged_for_the_one_before(host: Host) -> None:
    host.renewed()
    host.start()
    eventually(lambda: host.anew == 1)
    assert host.package.read_bytes() == OLD


def test_a_version_that_has_reached_a_daemon_stays(host: Host) -> None:
    host.renewed()
    host.start().passed()
    eventually(lambda: not host.on_trial)
    eventually(lambda: host.files == {"renewal.json"})
    assert host.package.read_bytes() == NEW
    assert host.anew == 0


def test_a_version_that_ends_again_and_again_before_is_exchanged_too(host: Host) -> None:
    host.renewed()
    for _ in range(MOST_STARTS):
        host.start()
    assert host.anew == 0
    host.start()
    assert host.anew == 1
    assert host.package.read_bytes() == OLD


def test_a_version_that_has_reached_a_daemon_may_end_as_often_as_it_likes(host: Host) -> None:
    host.renewed()
    host.start().passed()
    eventually(lambda: not host.on_trial)
    for _ in range(MOST_STARTS + 1):
        host.start()
    assert host.anew == 0


@pytest.mark.usefixtures("no_time")
def test_the_one_that_came_back_tells_why(host: Host) -> None:
    outcome = gone_back(host).outcome
    assert outcome == {
        "ok": False,
        "reason": f"hbc 99.0.0 did not reach a daemon within 0 min; {__version__} runs again",
    }
    assert host.start().outcome == outcome
    assert host.files == {"renewal.json"}


@pytest.mark.usefixtures("no_time")
def test_the_one_that_came_back_is_not_on_trial(host: Host) -> None:
    gone_back(host)
    assert not host.on_trial
    host.start()
    assert host.anew == 1


@pytest.mark.usefixtures("no_time")
def test_there_is_one_way_back_from_a_version(host: Host) -> None:
    gone_back(host)
    assert host.renewed() is False
    host.start()
    assert not host.on_trial
    assert host.package.read_bytes() == NEW


@pytest.mark.usefixtures("no_time")
def test_from_another_version_there_is_a_way_back_again(host: Host) -> None:
    gone_back(host)
    assert host.renewed(hashlib.sha256(b"another").hexdigest()) is True


@pytest.mark.usefixtures("no_time")
def test_whatever_comes_after_is_well_again(host: Host) -> None:
    gone_back(host)
    host.renewed()
    assert host.start().outcome == {"ok": True}
    assert host.start().outcome is None


def test_where_nothing_was_renewed_nothing_is_told_or_kept(host: Host) -> None:
    assert host.start().outcome is None
    assert host.files == set()


def test_a_trial_outlives_a_start_that_ends_before_it_is_over(host: Host) -> None:
    host.renewed()
    host.start()
    host.start().passed()
    eventually(lambda: not host.on_trial)
    assert host.package.read_bytes() == NEW


# ------------------------------------------------------------------------------------------------ other agents here


def test_starts_beside_the_agent_that_runs_count_for_nothing(host: Host) -> None:
    host.renewed()
    host.start()
    for _ in range(MOST_STARTS + 1):
        host.start_beside(host.package).close()
    assert host.package.read_bytes() == NEW
    assert host.anew == 0
    assert host.on_trial


def test_one_beside_the_agent_that_is_about_to_be_exchanged_leaves_the_way_back(host: Host) -> None:
    host.start()
    prepare(host.state, host.package, "99.0.0", NEW_DIGEST)
    host.start_beside(host.package).close()
    assert host.on_trial
    assert "before.pyz" in host.files


def test_another_copy_of_the_agent_leaves_the_way_back(host: Host, tmp_path: Path) -> None:
    host.renewed()
    other = tmp_path / "downloaded.pyz"
    other.write_bytes(b"another")
    for _ in range(MOST_STARTS + 1):
        host.start_beside(other).close()
    assert host.on_trial
    assert (host.state / "before.pyz").read_bytes() == OLD
    assert host.start().outcome is None
    assert host.anew == 0


@pytest.mark.usefixtures("no_time")
def test_another_copy_tells_nothing_of_the_one_that_came_back(host: Host, tmp_path: Path) -> None:
    outcome = gone_back(host).outcome
    host.end()
    other = tmp_path / "downloaded.pyz"
    other.write_bytes(b"another")
    beside = host.start_beside(other)
    assert beside.outcome is None
    beside.close()
    assert host.start().outcome == outcome


@pytest.mark.usefixtures("no_time")
def test_another_copy_that_renews_itself_has_a_way_back_of_its_own(host: Host, tmp_path: Path) -> None:
    gone_back(host)
    host.package = tmp_path / "elsewhere.pyz"
    host.package.write_bytes(OLD)
    assert host.renewed(hashlib.sha256(NEW).hexdigest()) is False, "it was given up already"
    assert host.start().outcome is None
    assert host.renewed(hashlib.sha256(b"another").hexdigest()) is True


def test_the_package_is_known_by_whatever_way_it_is_called(host: Host, tmp_path: Path) -> None:
    host.renewed()
    (tmp_path / "link").symlink_to(tmp_path)
    for _ in range(MOST_STARTS + 1):
        host.start_beside(tmp_path / "link" / "hbc.pyz").close()
    assert host.anew == 1


# ------------------------------------------------------------------------------------------- cut short at any point


def test_what_a_crash_left_half_done_goes_at_the_next_start(host: Host, tmp_path: Path) -> None:
    ours = [tmp_path / ".hbc.pyz.0a1b2c3d", host.state / ".before.pyz.01234567", host.state / ".renewal.json.89abcdef"]
    others = [tmp_path / ".hbc.pyz.old", tmp_path / ".hbd.pyz.0a1b2c3d", tmp_path / "hbc.pyz.0a1b2c3d"]
    for file in (*ours, *others):
        file.write_bytes(b"")
    host.start()
    assert not any(file.exists() for file in ours)
    assert all(file.exists() for file in others)


def test_what_the_agent_that_runs_is_about_to_put_in_place_stays(host: Host, tmp_path: Path) -> None:
    host.start()
    fresh = tmp_path / ".hbc.pyz.0a1b2c3d"
    fresh.write_bytes(NEW)
    host.start_beside(host.package).close()
    assert fresh.exists()


def test_before_the_exchange_the_agent_that_runs_is_on_no_trial(host: Host) -> None:
    prepare(host.state, host.package, "99.0.0", NEW_DIGEST)
    assert host.start().outcome is None
    assert not host.on_trial
    assert host.files == {"renewal.json"}


def test_between_the_decision_and_the_exchange_it_is_gone_on_with_at_the_next_start(host: Host) -> None:
    host.renewed()
    record = json.loads((host.state / "renewal.json").read_bytes())
    record["trial"]["over"] = "did not reach a daemon"
    (host.state / "renewal.json").write_text(json.dumps(record))
    host.start()
    assert host.anew == 1
    assert host.package.read_bytes() == OLD


def test_another_package_that_somebody_has_put_there_ends_the_trial(host: Host) -> None:
    host.renewed()
    host.package.write_bytes(b"by hand")
    host.start()
    assert not host.on_trial
    assert host.package.read_bytes() == b"by hand"


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize("kept", [None, b"damaged"])
def test_without_the_version_before_the_new_one_goes_on(host: Host, kept: bytes | None) -> None:
    host.renewed()
    before = host.state / "before.pyz"
    before.unlink() if kept is None else before.write_bytes(kept)
    host.start()
    eventually(lambda: not host.on_trial)
    assert host.package.read_bytes() == NEW
    assert host.anew == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"trial": {}, "back": null, "returned": []}', '{"trial": 5}'])
def test_a_record_that_makes_no_sense_counts_as_none(host: Host, text: str) -> None:
    (host.state / "renewal.json").write_text(text)
    assert host.start().outcome is None
    assert host.renewed()


def test_a_disk_that_takes_nothing_keeps_the_agent_from_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.renewed()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trial, "_put", full)
    host.start().passed()
    assert host.anew == 0
