"""Files by digest: fetched once, whole, and dropped oldest first, never while in use."""

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest

from workers.files.cache import Cache


class Source:
    """Where files come from; counts how often."""

    def __init__(self, *contents):
        self.files = {hashlib.sha256(content).hexdigest(): content for content in contents}
        self.fetched = []

    def __call__(self, sha256: str, target: Path) -> None:
        self.fetched.append(sha256)
        target.write_bytes(self.files[sha256])


@pytest.fixture
def source():
    return Source(b"a" * 100, b"b" * 100, b"c" * 100)


@pytest.fixture
def digests(source):
    return list(source.files)


def cache(tmp_path, source, limit_bytes=1000):
    return Cache(tmp_path / "cache", fetch=source, limit_bytes=limit_bytes)


def test_a_file_is_fetched_once(tmp_path, source, digests):
    for _ in range(2):
        with cache(tmp_path, source).hold(digests[0]) as path:
            assert path.read_bytes() == b"a" * 100
    assert source.fetched == digests[:1]


def test_a_damaged_file_is_fetched_again(tmp_path, source, digests):
    found = cache(tmp_path, source)
    with found.hold(digests[0]) as path:
        path.write_bytes(b"damaged")
    with found.hold(digests[0]) as path:
        assert path.read_bytes() == b"a" * 100


def test_a_fetch_that_fails_leaves_the_cache_as_it_was(tmp_path, source, digests):
    found = cache(tmp_path, source)
    with pytest.raises(KeyError), found.hold("0" * 64):
        pass
    assert found.size_bytes() == 0
    with found.hold(digests[0]) as path:
        assert path.exists()


def test_the_least_recently_used_file_is_dropped_beyond_the_limit(tmp_path, source, digests):
    found = cache(tmp_path, source, limit_bytes=250)
    for digest in (digests[0], digests[1], digests[0], digests[2]):
        with found.hold(digest):
            pass
    assert found.size_bytes() == 200
    with found.hold(digests[0]):
        pass
    assert source.fetched.count(digests[0]) == 1
    with found.hold(digests[1]):
        pass
    assert source.fetched.count(digests[1]) == 2


def test_a_file_in_use_is_not_dropped(tmp_path, source, digests):
    found = cache(tmp_path, source, limit_bytes=50)
    with found.hold(digests[0]) as held, found.hold(digests[1]) as other:
        assert held.exists()
        assert other.exists()
    with found.hold(digests[2]):
        assert found.size_bytes() == 100


def test_two_users_of_one_file_fetch_it_once(tmp_path, source, digests):
    meeting = threading.Barrier(2, timeout=10)

    def use():
        with cache(tmp_path, source).hold(digests[0]) as path:
            meeting.wait()  # both hold it at the same time
            assert path.exists()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.fetched == digests[:1]


def _hold_and_tell(folder, source, digest, pipe):
    with cache(folder, source).hold(digest):
        pipe.send("held")
        pipe.recv()


def test_a_process_that_is_killed_lets_go_of_what_it_held(tmp_path, source, digests):
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_hold_and_tell, args=(tmp_path, source, digests[0], theirs))
    process.start()
    theirs.close()  # Of a process that ends early nothing comes, and nobody waits for it.
    assert ours.recv() == "held"
    found = cache(tmp_path, source, limit_bytes=0)
    with found.hold(digests[1]):
        assert found.size_bytes() == 200
    process.kill()
    process.join()
    with found.hold(digests[1]):
        assert found.size_bytes() == 100


class Doubled:
    """Makes twice the content of a file; counts how often."""

    def __init__(self):
        self.made = 0

    def __call__(self, source: Path, target: Path) -> None:
        self.made += 1
        target.write_bytes(source.read_bytes() * 2)


def held_made(found, digest, make, kind="doubled"):
    with found.hold_made(digest, kind, make) as path:
        return path.read_bytes()


def test_what_is_made_of_a_file_is_made_once_for_each_kind(tmp_path, source, digests):
    make = Doubled()
    for _ in range(2):
        assert held_made(cache(tmp_path, source), digests[0], make) == b"a" * 200
    assert (make.made, source.fetched) == (1, digests[:1])
    held_made(cache(tmp_path, source), digests[0], make, kind="doubled again")
    held_made(cache(tmp_path, source), digests[1], make)
    assert make.made == 3


def test_what_was_made_is_made_again_if_it_is_damaged(tmp_path, source, digests):
    found, make = cache(tmp_path, source), Doubled()
    with found.hold_made(digests[0], "doubled", make) as path:
        path.write_bytes(b"damaged")
    assert held_made(found, digests[0], make) == b"a" * 200


def test_making_that_fails_leaves_nothing_but_the_file(tmp_path, source, digests):
    found = cache(tmp_path, source)

    def fail(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        held_made(found, digests[0], fail)
    assert found.size_bytes() == 100
    assert list((tmp_path / "cache").glob("*.part")) == []


def test_what_was_made_counts_and_is_dropped_as_the_oldest(tmp_path, source, digests):
    found, make = cache(tmp_path, source, limit_bytes=250), Doubled()
    held_made(found, digests[0], make)
    assert found.size_bytes() == 200  # the file that it was made of has gone
    held_made(found, digests[0], make)
    assert (make.made, len(source.fetched)) == (1, 1)
    held_made(found, digests[1], make)
    held_made(found, digests[0], make)
    assert (make.made, len(source.fetched)) == (3, 3)
