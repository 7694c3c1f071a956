"""The cache of downloads and builds."""

import os
import threading
import time

import pytest
from lablib.cache import MAX_ENTRIES, Cache, key, tree_parts


def test_key_depends_on_the_boundaries_of_parts():
    assert key([b"ab", b"c"]) != key([b"a", b"bc"])


def test_tree_parts_depend_on_name_mode_and_content(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    keys = [key(tree_parts([file], tmp_path))]
    file.write_text("two")
    keys.append(key(tree_parts([file], tmp_path)))
    file.chmod(0o755)
    keys.append(key(tree_parts([file], tmp_path)))
    keys.append(key(tree_parts([file.rename(tmp_path / "other")], tmp_path)))
    assert len(set(keys)) == 4


def test_an_entry_is_made_once(tmp_path):
    made = []

    def make(path):
        made.append(path)
        (path / "result").write_text("done")

    cache = Cache(tmp_path)
    for _ in range(2):
        assert (cache.entry("kind", "name", make) / "result").read_text() == "done"
    assert len(made) == 1


def test_a_failed_build_leaves_no_entry(tmp_path):
    def fail(path):
        (path / "half").write_text("")
        raise RuntimeError

    cache = Cache(tmp_path)
    with pytest.raises(RuntimeError):
        cache.entry("kind", "name", fail)
    assert list((tmp_path / "kind").iterdir()) == []


def test_the_files_of_a_killed_build_are_removed_by_the_next_build(tmp_path):
    (tmp_path / "kind/.half-old").mkdir(parents=True)
    Cache(tmp_path).entry("kind", "new", lambda _path: None)
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["new"]


def test_concurrent_builds_of_an_entry_make_it_once(tmp_path):
    made = []

    def slow(path):
        made.append(path)
        time.sleep(0.2)
        (path / "result").write_text("done")

    def build():
        Cache(tmp_path).entry("kind", "name", slow)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_the_least_recently_used_entry_is_removed(tmp_path):
    cache = Cache(tmp_path)
    for number in range(MAX_ENTRIES):
        os.utime(cache.entry("kind", str(number), lambda _path: None), (number, number))
    cache.entry("kind", "0", lambda _path: None)  # used again
    cache.entry("kind", "new", lambda _path: None)
    assert {path.name for path in (tmp_path / "kind").iterdir()} == {"0", "2", "new"}


def test_pruning_keeps_downloads_that_archives_may_have_removed(tmp_path):
    cache = Cache(tmp_path)
    for kind, count in (("base", 1), ("download", 4), ("source", 2), ("image", 2)):
        for number in range(count):
            cache.entry(kind, str(number), lambda _path: None)
    cache.prune_all()
    counts = {kind: len(list((tmp_path / kind).iterdir())) for kind in cache.kinds()}
    assert counts == {"base": 0, "download": 4, "source": 2, "image": 1}


def test_kinds_are_all_kinds_of_entries(tmp_path):
    cache = Cache(tmp_path)
    for kind in ("roots", "images"):
        cache.entry(kind, "name", lambda _path: None)
    assert cache.kinds() == ["images", "roots"]
