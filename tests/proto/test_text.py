"""The text format: what is read, what is refused and in which words, and agreement with protobuf's own parser."""

from __future__ import annotations

import math
import random
import re
import tracemalloc

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from caffepy.errors import ParseError
from caffepy.proto import caffe_pb2
from caffepy.proto.caffe_pb2 import (
    FillerParameter,
    LayerParameter,
    NetParameter,
    SolverParameter,
    V1LayerParameter,
)
from caffepy.proto.text import MAX_DEPTH, parse_text, to_text


def filler(text: str) -> FillerParameter:
    message = FillerParameter()
    parse_text(text, message, "f")
    return message


def net(text: str) -> NetParameter:
    message = NetParameter()
    parse_text(text, message, "f")
    return message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1", -1.0),
        ("- 1", -1.0),
        ("1e-3", 1e-3),
        ("1E+3", 1e3),
        ("1.", 1.0),
        (".5", 0.5),
        ("1.f", 1.0),
        ("1.5F", 1.5),
        ("2f", 2.0),
        ("0", 0.0),
        ("0.0625", 0.0625),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("18446744073709551616", 2.0**64),
        ("1e39", math.inf),
    ],
)
def test_floats(text: str, value: float) -> None:
    assert filler(f"mean: {text}").mean == pytest.approx(value, rel=1e-7)


def test_nan() -> None:
    assert math.isnan(filler("mean: NaN").mean)
    assert math.isnan(filler("mean: -nan").mean)


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("-7", -7), ("0x1F", 31), ("0X1f", 31), ("017", 15), ("0", 0), ("-0", 0), ("2147483647", 2**31 - 1)],
)
def test_integers(text: str, value: int) -> None:
    assert filler(f"sparse: {text}").sparse == value


def test_integer_limits() -> None:
    assert filler("sparse: -2147483648").sparse == -(2**31)
    solver = SolverParameter()
    parse_text("random_seed: -9223372036854775808", solver, "f")
    assert solver.random_seed == -(2**63)
    layer = LayerParameter()
    parse_text("convolution_param { num_output: 4294967295 }", layer, "f")
    assert layer.convolution_param.num_output == 2**32 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "t", "1", "0x1")),
        *((text, False) for text in ("false", "False", "f", "0", "00")),
    ],
)
def test_bools(text: str, value: bool) -> None:
    assert net(f"force_backward: {text}").force_backward is value


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"abc"', "abc"),
        ("'a\"b'", 'a"b'),
        ('"a\'b"', "a'b"),
        ('"a" \'b\'\n# comment\n"c"', "abc"),
        (r'"\a\b\f\n\r\t\v\\\'\"\?"', "\a\b\f\n\r\t\v\\'\"?"),
        (r'"\101\x42\x4a\0"', "ABJ\0"),
        (r'"\u00e4\U0001F600"', "ä\U0001f600"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"\\303\\244"', "ä"),
        ('"中文"', "中文"),
        ('"# no comment"', "# no comment"),
        ('""', ""),
    ],
)
def test_strings(literal: str, value: str) -> None:
    assert net(f"name: {literal}").name == value


def test_bytes() -> None:
    datum = caffe_pb2.Datum()
    parse_text(r'data: "\377\x00a" "ä"', datum, "f")
    assert datum.data == b"\xff\x00a\xc3\xa4"


def test_enum_by_name_and_number() -> None:
    assert filler("variance_norm: AVERAGE") == filler("variance_norm: 2") == filler("variance_norm: 0x2")


def test_brackets_separators_lists_comments() -> None:
    wanted = NetParameter(name="n", input=["a", "b", "c"], input_dim=[1, 2, 3])
    wanted.layer.add(name="l", include=[{"phase": caffe_pb2.TRAIN}, {}], relu_param={"negative_slope": 1})  # type: ignore[list-item,arg-type]
    wanted.layer.add(name="m")
    text = """# a comment
    name: "n"; input: ["a", 'b'], input: "c"#another
    input_dim: [ ] input_dim:[1,2 , 3];
    layer < name:"l" include: [{phase: TRAIN}, <>] relu_param: <negative_slope:1>, >
    layer [{name: "m"}] # the last line has no end"""
    assert net(text) == wanted


def test_byte_order_mark_and_carriage_returns() -> None:
    message = NetParameter()
    lines = parse_text('\ufeffname: "n"\r\nlayer {\r\n  name: "l"\r\n}\r\n', message, "f")
    assert message.layer[0].name == "l"
    assert lines.at("layer").at("name").line == 3


def test_empty_message_is_present() -> None:
    assert net("layer { relu_param {} }").layer[0].HasField("relu_param")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mean: 0x10", r"^f:1:7: Expect a decimal number, got: 0x10"),
        ("mean: 010", r"Expect a decimal number, got: 010"),
        ("mean: abc", r"^f:1:7: Expected double, got: abc"),
        ('mean: "1"', r'Expected double, got: "1"'),
        ("mean: 1.2.3", r"^f:1:7: Already saw decimal point or exponent; can't have another one"),
        ("mean: 1e", r'"e" must be followed by exponent'),
        ("mean: 0e", r'"e" must be followed by exponent'),
        ("mean: 1.5e+", r'"e" must be followed by exponent'),
        ("mean: 1..", "Already saw decimal point or exponent"),
        ("sparse: 0x1.5", r"Hex and octal numbers must be integers"),
        ("sparse: 08", r"Numbers starting with leading zero must be in octal"),
        ("sparse: 0x", r'"0x" must be followed by hex digits'),
        ("sparse: 1.0", r"^f:1:9: Expected integer, got: 1\.0"),
        ("sparse: 1f", r"Expected integer, got: 1f"),
        ("sparse: x", r"Expected integer, got: x"),
        ("sparse: 2147483648", r"Integer out of range \(2147483648\).*-2147483648 to 2147483647"),
        ("sparse: -2147483649", r"Integer out of range"),
        ("sparse: " + "9" * 2000, r"Integer out of range \(99999999999999999999\.\.\.\): a number of 2000"),
        ("sparse: 1 sparse: 2", r'^f:1:11: Non-repeated field "sparse" is specified multiple times'),
        (
            "variance_norm: FAN_INN",
            r'Unknown enumeration value of "FAN_INN" for field "variance_norm".*\'FAN_IN\'.*one of',
        ),
        ("variance_norm: 3", r'Unknown enumeration value of "3".*one of FAN_IN, FAN_OUT, AVERAGE'),
        ("variance_norm: -1", r'Unknown enumeration value of "-1"'),
        ("variance_norm: -x", r"Expected integer, got: x"),
        ('variance_norm: "FAN_IN"', r"Did you mean 'FAN_IN'\? It is written without quotes"),
        ('type "x"', r'^f:1:6: Expected ":", found ""x"" after \'type\', which is a value'),
        ("type { }", r'Expected ":", found "\{"'),
        ("type: xavier", r'Expected string, got: xavier\. Put it in quotes: type: "xavier"'),
        ('type: "xavier', r"^f:1:7: String literals cannot cross line boundaries: no closing \" on this line"),
        ('type: "a\nb"', r"String literals cannot cross line boundaries"),
        ('type: "C:\\data"', r"Invalid escape sequence in string literal: \\d\. Write \\\\ for a backslash"),
        ('type: "\\xg"', r"Invalid escape sequence"),
        ('type: "\\ud800"', r"is not a character"),
        ('type: "\\U00110000"', r"is not a character"),
        ('type: "\\377"', r"^f:1: the string of 'type' is not UTF-8 \(byte 0xff\)"),
        ("typ: 1", r'Message type "caffe\.FillerParameter" has no field named "typ"\. Did you mean \'type\'\?'),
        ("mean: 1 }", r"^f:1:9: Expected identifier, got: }\. It closes nothing"),
        ("// text", r"A comment starts with #"),
        ("[a.b]: 1", r"Extensions are not used"),
        ("mean: 1\0", r"Invalid control characters encountered in text: byte 0x00"),
        ("mean： 1", r"^f:1:5: Expected identifier, got: '\\uff1a'.*full-width"),
        ("mean: $MEAN", r"This is a template"),
        ("mean:", r"^f:1:6: Expected double, got: the end of the file"),
        ("sparse: [1]", r"Expected integer, got: \["),
    ],
)
def test_refused(text: str, error: str) -> None:
    with pytest.raises(ParseError, match=error):
        filler(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("force_backward: yes", r'Invalid value for boolean field "force_backward"\. Value: "yes"'),
        ("force_backward: 2", r"Integer out of range \(2\)"),
        ("force_backward: true force_backward: true", r"Non-repeated field"),
        ("state {} state {}", r'Non-repeated field "state" is specified multiple times'),
        ("layer: 5", r"^f:1:8: Expected \"\{\", found 5: 'layer' is a block"),
        ("input_dim: [1, 2", r"Expected ',' or ']', found the end of the file: in the list opened on line 1"),
        ("input_dim: [1, 2,]", r"Expected integer, got: \]"),
        ("input_dim: [1 2]", r"Expected ',' or ']', found 2"),
        ("input_dim: 1,, input_dim: 2", r"Expected identifier, got: ,"),
        (
            "layer {\n name: 'a'\n\n",
            r"^f:4:1: Expected '}', found the end of the file.*LayerParameter opened on line 1",
        ),
        ("\nlayer {\n >", r"^f:3:2: Expected identifier, got: > in the block opened on line 2.*'}' is meant"),
        (
            "layer { convolution_param { pad: -1 } }",
            r"Expected integer, got: -\. 'pad' takes numbers from 0 to 4294967295",
        ),
        ("layer { relu_param\n{ engine: CUDN } }", r"^f:2:11: .*Did you mean 'CUDNN'\?"),
        ("layer { kernel_size: 3 }", r"It belongs inside convolution_param \{ \} or pooling_param \{ \}\."),
        ("layer { blobs_lr: 1 }", r"It is of the old 'layers \{ \}' form"),
        ("layers { propagate_down: true }", r"It is of the newer 'layer \{ \}' form"),
        ("layer { convolution_param { \nlayer { } } }", r"^f:2:1: .*a '}' is missing before this line"),
        ("base_lr: 0.1", r"It is a setting of a solver"),
        ("layer { permute_param { } }", r"'permute_param' is a field of SSD"),
        ("layer { norm_param { } }", r"'norm_param' is a field of SSD"),
        ("layer { prior_box_param { } }", r"'prior_box_param' is a field of SSD"),
        ("layer { bn_param { } }", r"'bn_param' is a field of SegNet"),
        ("layers { upsample_param { } }", r"'upsample_param' is a field of SegNet"),
        ("layer { roi_pooling_param { } }", r"'roi_pooling_param' is a field of Faster R-CNN.*Detectron"),
        (
            "layer { nme: 'x' }",
            r'^f:1:9: Message type "caffe.LayerParameter" has no field named "nme"\. Did you mean \'name\'\?',
        ),
        ('layers { type: "Convolution" }', r"written without quotes\. \(A 'layer' block names its type in quotes"),
        (
            "\n\nlayer { clip_param {\n max: 1 } }",
            r'^f:3: Message type "caffe.ClipParameter" is missing required fields: min',
        ),
    ],
)
def test_refused_in_nets(text: str, error: str) -> None:
    with pytest.raises(ParseError, match=error):
        net(text)


def test_net_given_as_solver() -> None:
    with pytest.raises(ParseError, match=r"is this a net's file"):
        parse_text("layer { }", SolverParameter(), "f")


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> str:
        return "nested_type {" * depth + "}" * depth

    parse_text(nested(MAX_DEPTH), DescriptorProto(), "f")
    with pytest.raises(ParseError, match=r"Message is too deep: more than 64 blocks"):
        parse_text(nested(MAX_DEPTH + 1), DescriptorProto(), "f")
    with pytest.raises(ParseError, match=r"Message is too deep"):
        parse_text("nested_type {" * 1_000_000, DescriptorProto(), "f")


def test_any_message_of_protobuf() -> None:
    file = FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    again = FileDescriptorProto()
    parse_text(to_text(file), again, "f")
    assert again == file


def test_long_string_is_not_slow() -> None:
    assert len(net('name: "' + "a\\n" * 1_000_000 + '"').name) == 2_000_000
    with pytest.raises(ParseError, match="String literals"):
        net('name: "' + "a\\n" * 1_000_000)


def fill(message: Message, rng: random.Random) -> None:
    """Set fields of a message at random: a third of them, lists of up to three."""
    proto = DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)
    labels = {field.name: field.label for field in proto.field}
    for field in message.DESCRIPTOR.fields:
        required = labels[field.name] == 2
        if rng.random() > 0.3 and not required:
            continue
        repeated = labels[field.name] == 3
        for _ in range(rng.randint(1, 3) if repeated else 1):
            if field.message_type is not None:
                inner = getattr(message, field.name)
                if repeated:
                    inner = inner.add()
                inner.SetInParent()
                fill(inner, rng)
                continue
            value = scalar(field.type, field.enum_type, rng)
            if repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)


def scalar(kind: int, enum: object, rng: random.Random) -> int | float | bool | str | bytes:
    if enum is not None:
        return rng.choice([value.number for value in enum.values])  # type: ignore[attr-defined]
    if kind == 9:
        return "".join(rng.choice("ab\"'\\\n\t#{}é中\U0001f600 \x01") for _ in range(rng.randint(0, 8)))
    if kind == 12:
        return rng.randbytes(rng.randint(0, 8))
    if kind == 8:
        return rng.random() < 0.5
    if kind in (1, 2):
        return rng.choice([0.0, -0.0, 1.0, 1e-8, -3.5e20, math.inf, -math.inf, rng.gauss(0, 1), 0.1, 1e10])
    if kind == 13:
        return rng.choice([0, 1, 2**32 - 1, rng.randrange(2**32)])
    bits = 31 if kind == 5 else 63
    return rng.choice([0, -1, 2**bits - 1, -(2**bits), rng.randrange(2**bits)])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [NetParameter, SolverParameter, V1LayerParameter])
def test_reads_what_protobuf_writes(seed: int, kind: type[Message]) -> None:
    message = kind()
    fill(message, random.Random(seed))
    for options in ({}, {"as_one_line": True}, {"pointy_brackets": True}, {"as_utf8": True}):
        text = text_format.MessageToString(message, **options)  # type: ignore[arg-type]
        again = kind()
        parse_text(text, again, "f")
        assert again.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
    again = kind()
    parse_text(to_text(message), again, "f")
    assert again == message


SEED_TEXT = """name: "a\\n" # c
force_backward: true
input_dim: [1, 2,3]
layer { name: 'x' 'y' type: "Data" phase: TEST loss_weight: 1.5e-3 top: "d";
 convolution_param < pad: 0x1F stride: 017 weight_filler { type: "xavier" std: -.5f min: -inf sparse: -3 } engine: 1 >,
 propagate_down: f include: [{phase: TRAIN}, <phase: 0>]
}
"""
PIECES = tuple(
    r"""
    " 0x 08 1e inf nan - true TEST [ ] { } < > : \x4 \q 1.5 2f .5 99999999999 -1 "s" 't' , ; name layer phase nanf
    1.5.2 0. 00.5 1_0 / relu_param{} input:'x' state{} name:'n' e5 001 .f
    """.split()  # noqa: SIM905
)
PIECES = (*PIECES, " ", "\t", "\r\n", "# z\n", "- ", "")
# What Python's protobuf takes and the C++ parser does not: 1_0, inff, nanf, unknown escapes.
PYTHON_ONLY = re.compile(r"[0-9a-fA-F]_|inff|nanf|Invalid escape", re.IGNORECASE)
# What C++ takes and Python does not: a name right after a number, a minus apart from its number or before an enum's.
CPP_ONLY = re.compile(r"[0-9.fF][A-Za-z_\"']|-\s|:-")


def refusal_of(text: str, message: NetParameter) -> str:
    """What our parser says against the text, or nothing; any other exception passes through."""
    try:
        parse_text(text, message, "f")
    except ParseError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(8))
def test_damaged_text_is_judged_as_protobuf_does(seed: int) -> None:
    rng = random.Random(seed)
    both = 0
    for _ in range(600):
        text = SEED_TEXT
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(PIECES) + text[start + rng.choice((0, 0, 1, 1, 2, 5)) :]
        ours, theirs = NetParameter(), NetParameter()
        refusal, their_refusal = refusal_of(text, ours), ""
        try:
            text_format.Parse(text, theirs)
        except (text_format.ParseError, UnicodeError) as error:
            their_refusal = str(error)
        if refusal:
            assert re.match(r"f:\d+(:\d+)?: ", refusal)
            assert their_refusal or PYTHON_ONLY.search(text + refusal), f"only we refuse: {refusal}\n{text}"
        elif their_refusal:
            assert CPP_ONLY.search(text), f"only protobuf refuses: {their_refusal}\n{text}"
        else:
            both += 1
            assert to_text(ours) == to_text(theirs)
    assert both > 20


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_message_or_a_parse_error(text: str) -> None:
    refusal = refusal_of(text, NetParameter())
    assert refusal.startswith("f:") or not text.strip() or text.lstrip().startswith("#")


def test_lone_surrogate_in_a_string() -> None:
    with pytest.raises(ParseError, match="f:1:7: "):
        net('name: "\ud800"')


@pytest.mark.parametrize("quote", "\"'")
@pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2001, 100_000])
def test_a_string_may_hold_any_number_of_escapes(quote: str, count: int) -> None:
    """Strings of many escapes are matched in parts; what follows the closing quote is read on."""
    text = f"type: {quote}a\\{quote}" + "b\\n" * (count - 1) + f"c{quote} value: 3"
    message = filler(text)
    assert message.type == f"a{quote}" + "b\n" * (count - 1) + "c"
    assert message.value == 3
    for unclosed in (text.replace("c", "\n"), text.replace(f"c{quote}", "")):
        with pytest.raises(ParseError, match="f:1:7: String literals cannot cross line boundaries"):
            filler(unclosed)


@pytest.mark.parametrize("block", ["layer { }", "layers { }", "input_shape { }"])
def test_blocks_of_one_field_are_limited(block: str) -> None:
    """A text of a million layers took minutes to read, for nothing."""
    limit = 50_000
    assert len(getattr(net(f"{block}\n" * limit), block.split()[0])) == limit
    with pytest.raises(ParseError, match=rf"^f:50001:\d+: more than 50,000 blocks '{block.split()[0]}'"):
        net(f"{block}\n" * (limit + 1))


def test_escapes_take_no_memory_each() -> None:
    """A file of nothing else once took all the memory there was."""
    text = "type: '" + "\\" * 4_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ParseError, match="String literals"):
            filler(text)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
