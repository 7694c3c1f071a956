"""The bench document: written, read back, and refused when it is not one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.made_documents import document
from tests.unit.schemas import undescribed
from xengt.bench.case import DECLARED
from xengt.bench.document import BenchDocument, build, read
from xengt.bench.schema import bench_schema
from xengt.documents.shape import ShapeError
from xengt.documents.write import write_json
from xengt.errors import FailedError, UnmetError

SCHEMA = bench_schema()
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
GOOD = document(
    engines=("hypercall", "gntdev"), batches=(1, 32), threads=(1,), samples=50
).to_json()
DUMMY = "to be replaced"


def test_the_schema_is_one_and_describes_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert list(undescribed(SCHEMA)) == []


def test_what_is_written_follows_the_schema_and_reads_back(tmp_path: Path) -> None:
    made = document(threads=(1, 2), samples=50, xen_build_id=None)
    write_json(made.to_json(), str(tmp_path / "run.json"))
    VALIDATOR.validate(json.loads((tmp_path / "run.json").read_text()))
    assert read(str(tmp_path / "run.json")) == made


def test_a_dash_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(GOOD, "-")
    assert json.loads(capsys.readouterr().out) == GOOD


def paths(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where every key of a document is; of arrays, the first item."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:1])
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def changed(path: tuple[str | int, ...], new: object) -> Any:
    """Copy the good document with one value replaced, or left out when it is DUMMY."""
    value = copy.deepcopy(GOOD)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is DUMMY:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


EVERY = sorted(set(paths(GOOD)), key=str)
OPTIONAL = [("host", "maptrack"), ("host", "pcpus")]
#: dimensions that earlier versions of the document do not have
ADDED = {name for name, declared in DECLARED.items() if declared.recorded_since}
KEYS = [
    path
    for path in EVERY
    if isinstance(path[-1], str) and path not in OPTIONAL and path[-1] not in ADDED
]


def both_refuse(value: object, path: tuple[str | int, ...]) -> None:
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(ShapeError) as error:
        BenchDocument.from_json(value)
    assert str(path[-1]) in str(error.value)


@pytest.mark.parametrize("path", KEYS, ids=str)
def test_reader_and_schema_refuse_a_missing_key(path: tuple[str | int, ...]) -> None:
    both_refuse(changed(path, DUMMY), path)


@pytest.mark.parametrize("path", OPTIONAL, ids=str)
def test_what_an_older_run_does_not_tell_may_be_missing(path: tuple[str | int, ...]) -> None:
    older = changed(path, DUMMY)
    VALIDATOR.validate(older)
    assert BenchDocument.from_json(older).to_json() == older


@pytest.mark.parametrize("path", EVERY, ids=str)
@pytest.mark.parametrize("wrong", [{"x": []}, [[]], -1], ids=["object", "array", "negative"])
def test_reader_and_schema_refuse_a_wrong_value(path: tuple[str | int, ...], wrong: object) -> None:
    if path == ("schema",):
        return  # read() answers for it, below
    both_refuse(changed(path, wrong), path)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("dom0", ["PV", "PVH", "HVM"]),
        ("iommu", ["none", "relaxed", "strict", "passthrough", "unknown"]),
        ("maptrack", ["stock", "fast", "no-fast", "unknown"]),
    ],
)
def test_reader_and_schema_know_the_same_words(key: str, values: list[str]) -> None:
    for value in values:
        VALIDATOR.validate(changed(("host", key), value))
        BenchDocument.from_json(changed(("host", key), value))
    both_refuse(changed(("host", key), "pv"), ("host", key))


@pytest.mark.parametrize("path", [("results", 0, "batch"), ("plan", "digits")], ids=str)
@pytest.mark.parametrize("wrong", [0, True, "32", 1.5, None])
def test_reader_and_schema_refuse_what_cannot_be_counted(
    path: tuple[str | int, ...], wrong: object
) -> None:
    both_refuse(changed(path, wrong), path)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (("results", 0, "more"), False),
        (("results", 0, "latency_ns", "p75"), False),
        (("more",), False),
        (("host", "numa_nodes"), True),
        (("plan", "more"), True),
    ],
    ids=str,
)
def test_only_host_and_plan_may_hold_more(path: tuple[str | int, ...], known: bool) -> None:
    value = changed(path, 1)
    assert VALIDATOR.is_valid(value) is known
    if known:
        assert BenchDocument.from_json(value).to_json() == value
    else:
        both_refuse(value, path)


def test_a_run_with_a_wrong_host_is_never_written() -> None:
    made = document(samples=1, batches=(1,), threads=(1,))
    with pytest.raises(ShapeError, match=r'host has no "boot_id"'):
        build({k: v for k, v in made.host.items() if k != "boot_id"}, dict(made.plan), ())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read {}: No such file or directory"),
        (b"", "{} is not valid JSON"),
        (b"\xff\xfe\x00", "{} is not valid JSON"),
        (b'{"schema": "xengt.bench/1", "results": [', "{} is not valid JSON"),
        (
            b'{"schema": "xengt.compare/1"}',
            "{} is a xengt.compare/1 document; bench documents are xengt.bench/1 or",
        ),
        (b'{"schema": "xengt.bench/4"}', "{} is a xengt.bench/4 document; bench documents are"),
        (b"[1, 2]", "{} is JSON without a schema"),
        (b'{"schema": 1}', "{} is JSON without a schema"),
        (
            b'{"schema": "xengt.bench/1"}',
            "{} is not a complete xengt.bench/1 document: the document",
        ),
    ],
)
def test_a_file_that_is_no_bench_document(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnmetError) as error:
        read(str(path))
    assert error.value.what.startswith(says.format(path))
    assert "xengt bench --json=FILE" in error.value.remedy


def test_a_missing_key_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed(("results", 0, "latency_ns", "p99"), DUMMY)))
    with pytest.raises(UnmetError, match=r'results\[0\]\.latency_ns has no "p99"'):
        read(str(path))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "run.json"
    with pytest.raises(FailedError, match=f"cannot write {target}: No such file") as error:
        write_json(GOOD, str(target))
    assert error.value.remedy


def test_a_document_of_version_1_is_read(tmp_path: Path) -> None:
    value = {**changed(("results", 0, "warnings"), ["noisy"]), "schema": "xengt.bench/1"}
    path = tmp_path / "run.json"
    path.write_text(json.dumps(value))
    (first, *_) = read(str(path)).results
    assert [warning.message for warning in first.warnings] == ["noisy"]
