"""docs/fields.md is true: every field of Caffe's schema, and every value of its enums, does what the table says.

The rows are those of the schema, which is the published one. A field *acts* where one of many small nets, layers and
files (tests/fields) that sets it shows something else without it; it is *ignored* where nothing shows and the log names
it. So a new field needs a net that sets it, and a status that is wrong does not pass.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import EnumValueDescriptor, FieldDescriptor

from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import IGNORED, IGNORED_BY, ignored_fields
from caffepy.proto.lines import Lines
from caffepy.testing import case
from tests.fields import old_nets
from tests.fields.demo import Demo, case_demo, is_error, same
from tests.fields.files import files
from tests.fields.messages import (
    key_of,
    near_values,
    other_values,
    places,
    put,
    set_in_layers,
    value_key,
    with_value,
    without,
)
from tests.fields.nets import CASES, make_files, nets
from tests.solver.test_fields import CHANGES
from tests.test_contract import CASES as LAYER_CASES

ROOT = Path(__file__).parents[1]
FACTS = ROOT.parent / "shared" / "facts" / "caffe_proto.tsv"

sys.path.insert(0, str(ROOT / "docs"))
from field_status import REFUSED_BY, Status, enum_users, layer_types, message_types, status, value_status  # noqa: E402

sys.path.remove(str(ROOT / "docs"))

FIELDS = {key_of(field): field for message in message_types() for field in message.fields}
ENUMS = [enum for message in message_types() for enum in message.enum_types]
ENUMS += caffe_pb2.DESCRIPTOR.enum_types_by_name.values()
VALUES = {value_key(enum, value.name): value for enum in ENUMS for value in enum.values}


_FITS = "it has to fit the data that comes with it"
_COUNTS = "it says how many blobs there are"
#: Fields whose other values are always errors, and why. Of all others it takes numbers to show that they act.
ONLY_ERRORS = {
    **{f"BlobProto.{name}": _FITS for name in ("num", "channels", "height", "width")},
    **{f"Datum.{name}": _FITS for name in ("channels", "height", "width", "encoded")},
    **{f"MemoryDataParameter.{name}": _FITS for name in ("channels", "height", "width")},
    **{f"TransformationParameter.{name} in MemoryData": _FITS for name in ("crop_size", "force_color", "force_gray")},
    "DataParameter.backend": "a database is of one kind",
    "ParamSpec.share_mode": "STRICT is a check",
    "PoolingParameter.global_pooling": "without it a window is asked for, and with it forbidden",
    "RecurrentParameter.expose_hidden": _COUNTS,
    "WindowDataParameter.cache_images": "what is in memory is not missed when the files are gone",
}


class Shown:
    """The demonstrations, by the fields that they set, and what each shows."""

    def __init__(self, demos: list[Demo]) -> None:
        self.demos = demos
        self._by_key: dict[tuple[str, str], list[Demo]] = {}
        self._seen: dict[int, object] = {}
        for demo in demos:
            found = {(key_of(place.field), layer) for place in places(demo.message) for layer in ("", place.layer)}
            for key in found:
                self._by_key.setdefault(key, []).append(demo)

    def of(self, key: str, layer: str = "") -> list[Demo]:
        """Those that set the field ``key`` (in a layer of type ``layer``)."""
        return self._by_key.get((key, layer), [])

    def seen(self, demo: Demo) -> object:
        """What it shows as it is."""
        if id(demo) not in self._seen:
            self._seen[id(demo)] = demo.seen()
        return self._seen[id(demo)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("fields")
    make_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield Shown([*nets(), *files(), *map(case_demo, [*CASES, *(one for _, one in LAYER_CASES)])])


@pytest.mark.skipif(not FACTS.exists(), reason=f"the facts about Caffe's schema are not here: {FACTS}")
def test_the_rows_are_those_of_the_published_schema() -> None:
    with FACTS.open(encoding="utf-8") as file:
        rows = {f"{row['message']}.{row['name']}": row["number"] for row in csv.DictReader(file, delimiter="\t")}
    walked = {key: str(one.number) for key, one in {**FIELDS, **VALUES}.items()}
    assert len(rows) > 500
    assert walked == rows


def test_demonstrations_are_repeatable_and_no_errors(shown: Shown) -> None:
    """Or a difference would prove nothing."""
    for demo in shown.demos:
        first = shown.seen(demo)
        assert not is_error(first), f"{demo.label}: {first}"
        assert same(first, demo.seen()), demo.label


@pytest.mark.parametrize("key", FIELDS)
def test_field(shown: Shown, key: str) -> None:
    prove(shown, FIELDS[key], status(FIELDS[key]))


@pytest.mark.parametrize("key", VALUES)
def test_value(shown: Shown, key: str) -> None:
    prove_value(shown, VALUES[key], value_status(VALUES[key]))


def prove(shown: Shown, field: FieldDescriptor, found: Status) -> None:
    """Assert that the field does what its status says."""
    key = key_of(field)
    if found.kind == "acts":
        _acts(shown, field, found)
    elif found.kind == "ignored":
        _ignored(shown, field, found)
    elif found.kind == "upgraded":
        for when, target in found.targets.items():
            old_nets.becomes(field, when, target)
    elif found.kind == "stored":
        _stored(shown, field)
    else:
        raise AssertionError(f"{key}: no field is refused in every layer; got {found}")


def _acts(shown: Shown, field: FieldDescriptor, found: Status) -> None:
    key = key_of(field)
    assert found.layers or found.module, f"{key} acts nowhere"
    # The bytes of a blob are read by the fields' numbers.
    if found.module and field.containing_type.name != "BlobProto":
        assert re.search(rf"\b{field.name}\b", (ROOT / found.module).read_text()), f"{found.module} has no {field.name}"
    if field.containing_type.name == "SolverParameter":
        # tests/solver/test_fields.py trains with the field and without it.
        assert field.name in CHANGES
        return
    for layer in found.layers or ("",):
        assert _makes_a_difference(shown, field, layer), _undemonstrated(shown, key, layer)
    for layer in found.without:
        _changes_nothing(shown, field, layer, f"{key} in {layer}")
    for layer, words in found.raising.items():
        _raises(shown, field, layer, words)


def _undemonstrated(shown: Shown, key: str, layer: str) -> str:
    count = len(shown.of(key, layer))
    if not count:
        return f"{key}: no status is proven: nothing in tests/fields sets it{' in ' + layer if layer else ''}"
    return f"{key}{' in ' + layer if layer else ''} is read by nothing: {count} demonstrations show the same without it"


def _makes_a_difference(shown: Shown, field: FieldDescriptor, layer: str) -> bool:
    """Whether some demonstration shows another thing without the field, or with another value near its own.

    That an error asks for it shows that its presence counts. It is enough for names, such as those of files, and for
    messages, whose own fields have to do more; a number has to change numbers.
    """
    key = key_of(field)
    exempt = key in ONLY_ERRORS or f"{key} in {layer}" in ONLY_ERRORS
    error_is_enough = field.message_type is not None or field.type == FieldDescriptor.TYPE_STRING or exempt
    differs = False
    for demo in shown.of(key, layer):
        others = [with_value(demo.message, key, value, layer) for value in near_values(demo.message, key, layer)]
        for other in (without(demo.message, key, layer), *others):
            seen = demo.seen(other)
            if same(shown.seen(demo), seen):
                continue
            if not is_error(seen):
                assert not exempt, f"{key} does not need its place in ONLY_ERRORS: {demo.label}"
                return True
            differs = True
            if error_is_enough and not exempt:
                return True
    return differs and exempt


def _ignored(shown: Shown, field: FieldDescriptor, found: Status) -> None:
    key = key_of(field)
    message = field.containing_type.name
    if message == "SolverParameter":
        # tests/solver/test_fields.py trains with the field and without it.
        assert field.name in CHANGES
        solver = caffe_pb2.SolverParameter()
        put(solver, field.name, other_values(field)[0])
        assert key in ignored_fields(solver, Lines.unknown())
    elif message == "V0LayerParameter":
        old_nets.is_dropped(field)
    else:
        assert found.layers, f"{key} is in no layer"
        for layer in found.layers:
            _changes_nothing(shown, field, layer, key)


def _changes_nothing(shown: Shown, field: FieldDescriptor, layer: str, named: str) -> None:
    tried = 0
    for demo in shown.demos:
        for value in other_values(field):
            changed = set_in_layers(demo.message, field, value, layer)
            if changed is None:
                continue
            tried += 1
            assert same(shown.seen(demo), demo.seen(changed)), f"{named} acts: {demo.label}"
            if field.containing_type.name != "LayerParameter":
                net = changed
                if isinstance(changed, caffe_pb2.LayerParameter):
                    net = caffe_pb2.NetParameter(layer=[changed])
                assert named in ignored_fields(net, Lines.unknown()), f"the log would not name {named}"
        if tried >= 6:
            break
    assert tried, f"{named}: nothing in tests/fields has a layer {layer}"


def _raises(shown: Shown, field: FieldDescriptor, layer: str, words: str) -> None:
    tried = 0
    for demo in shown.demos:
        changed = set_in_layers(demo.message, field, other_values(field)[0], layer)
        if changed is not None:
            tried += 1
            seen = demo.seen(changed)
            assert is_error(seen)
            assert words in seen["error"]
            assert field.name in seen["error"]
    assert tried, f"nothing in tests/fields has a layer {layer}"


def _stored(shown: Shown, field: FieldDescriptor) -> None:
    """Nothing comes of it, whatever it is; and a file that has it keeps it."""
    key = key_of(field)
    if field.containing_type.name == "BlobProtoVector":
        # pycaffe's two functions make one and take it apart, for a caller.
        sources = [path for path in (ROOT / "caffepy").rglob("*.py") if path.name != "caffe_pb2.py"]
        sources = [path for path in sources if path.parent.name != "pycaffe"]
        assert not [path for path in sources if "BlobProtoVector" in path.read_text()]
        vector = caffe_pb2.BlobProtoVector(blobs=[caffe_pb2.BlobProto(data=[1, 2])])
        assert caffe_pb2.BlobProtoVector.FromString(vector.SerializeToString()) == vector
        return
    demos = shown.of(key)
    assert demos, f"{key}: no file in tests/fields has it"
    for demo in demos:
        other = without(demo.message, key)
        assert other is not None
        assert same(shown.seen(demo), demo.seen(other)), f"{key} is read"


def prove_value(shown: Shown, value: EnumValueDescriptor, found: Status) -> None:
    """Assert that this value of an enum does what its status says: nothing, or another thing than each other value."""
    enum = value.type
    if found.kind == "refused":
        old_nets.type_is_refused(value, found.why)
    elif found.kind == "upgraded":
        old_nets.value_becomes(value, list(found.targets.values()))
    elif found.kind == "ignored":
        # All its fields are, and with all values: test_field.
        assert all(key_of(user) in IGNORED for user in enum_users(enum))
    else:
        assert found.kind == "acts"
        _differs(shown, value)


def _differs(shown: Shown, value: EnumValueDescriptor) -> None:
    for field in enum_users(value.type):
        if field.containing_type.name == "SolverParameter":
            # tests/solver/test_fields.py trains with one and with the other.
            assert len(value.type.values) == 2
            assert field.name in CHANGES
            continue
        for layer in status(field).layers or ("",):
            for other in value.type.values:
                if other is not value:
                    assert _separated(shown, field, layer, value.number, other.number), (
                        f"{value.name} does what {other.name} does{' in ' + layer if layer else ''}"
                    )


def _separated(shown: Shown, field: FieldDescriptor, layer: str, one: int, other: int) -> bool:
    key = key_of(field)
    return any(
        not same(
            demo.seen(with_value(demo.message, key, one, layer)), demo.seen(with_value(demo.message, key, other, layer))
        )
        for demo in shown.of(key, layer)
    )


def test_no_two_old_fields_become_the_same() -> None:
    for old in ("V0LayerParameter", "V1LayerParameter"):
        message = caffe_pb2.DESCRIPTOR.message_types_by_name[old]
        new = [pair for field in message.fields for pair in status(field).targets.items()]
        assert len(new) == len(set(new)), old


def test_exceptions_name_layers_and_fields() -> None:
    for table in (IGNORED_BY, REFUSED_BY):
        assert set(table) <= set(layer_types())
        assert {key for fields in table.values() for key in fields} <= set(FIELDS)


# The proof itself can fail: a status that is not so, a field without one.


def test_a_field_that_acts_is_not_ignored(shown: Shown) -> None:
    with pytest.raises(AssertionError, match=r"ReLUParameter.negative_slope acts: case"):
        prove(shown, FIELDS["ReLUParameter.negative_slope"], Status("ignored", "it is not", layers=("ReLU",)))


def test_a_field_that_is_ignored_does_not_act() -> None:
    demos = [case_demo(case('type: "ReLU" relu_param { engine: CAFFE }', [(2, 3)]))]
    with pytest.raises(AssertionError, match=r"ReLUParameter\.engine in ReLU is read by nothing: 1 demonstrations"):
        prove(Shown(demos), FIELDS["ReLUParameter.engine"], Status("acts", layers=("ReLU",)))


def test_a_field_that_nothing_sets_is_not_proven(shown: Shown) -> None:
    shown = Shown([demo for demo in shown.demos if "negative_slope" not in str(demo.message)])
    with pytest.raises(
        AssertionError, match=r"negative_slope: no status is proven: nothing in tests/fields sets it in"
    ):
        prove(shown, FIELDS["ReLUParameter.negative_slope"], Status("acts", layers=("ReLU",)))


def test_a_field_does_not_become_another() -> None:
    with pytest.raises(AssertionError, match="batchsize"):
        old_nets.becomes(FIELDS["V0LayerParameter.batchsize"], "data", "DataParameter.rand_skip")


def test_a_message_of_which_nothing_is_known_has_no_status() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="new.proto", package="new")
    file.message_type.add(name="NewParameter").field.add(name="new", number=1, label=1, type=5)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    with pytest.raises(KeyError, match="NewParameter"):
        status(pool.FindMessageTypeByName("new.NewParameter").fields[0])
