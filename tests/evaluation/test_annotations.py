"""Annotations that are wrong, damaged, or written to do harm."""

from __future__ import annotations

import time

import pytest

from caffepy.errors import DataError
from caffepy.evaluation.annotations import annotation_files, read_annotation

GOOD = (
    "<annotation><object><name>n01</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    "<part><name>head</name></part></object></annotation>"
)


@pytest.fixture
def read(tmp_path):
    def call(text):
        (tmp_path / "a.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_annotation(tmp_path / "a.xml")

    return call


def test_only_the_objects_own_name_and_box(read):
    assert read(GOOD) == [("n01", (1, 2, 3, 4))]
    assert read(GOOD.replace("<annotation>", "<annotation><name>x</name>")) == [("n01", (1, 2, 3, 4))]
    assert read(f'<?xml version="1.0"?>\n{GOOD}') == [("n01", (1, 2, 3, 4))]
    assert read(GOOD.replace("n01", "\n n&#48;1 <!-- c --> ")) == [("n01", (1, 2, 3, 4))]
    assert read("<annotation/>") == []


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BOMB}]>\n<annotation>&j;</annotation>", r"a\.xml:1: a document type \(<!DOCTYPE>\): annotations have none"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "a document type"),
        ("<annotation>&x;</annotation>", r"a\.xml:1: no XML: undefined entity"),
        (GOOD[:-5], "no XML: "),
        ("not XML", r"a\.xml:1: no XML: syntax error"),
        (b"", "no XML: no element found"),
        (b"\x00\xff\x00", "no XML"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "no XML: unknown encoding"),
        ("<html></html>", r"a\.xml:1: expected <annotation>, got <html>"),
        ("<annotation>" + "<a>" * 20, "elements more than 16 deep"),
        ("<annotation>" + "x" * 1001, "a text of more than 1,000 characters"),
        (GOOD.replace("\n", "").replace("<name>n01</name>", "\n"), r"a\.xml:2: an <object> without <name>"),
        (GOOD.replace("<xmax>3</xmax>", ""), "a <bndbox> without <xmax>"),
        (GOOD.replace(">3<", ">three<"), "<xmax> must be a number, got 'three'"),
        (GOOD.replace(">3<", ">inf<"), "a <bndbox> of coordinates that are no numbers"),
        (GOOD.replace(">3<", ">0<"), "a <bndbox> of xmin 1 to xmax 0, ymin 2 to ymax 4: nothing is inside"),
        ("<annotation>" + " " * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_what_is_refused(read, text, said):
    began = time.perf_counter()
    with pytest.raises(DataError, match=said):
        read(text)
    assert time.perf_counter() - began < 5


def test_files(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the annotation 'none\.xml': No such file"):
        read_annotation("none.xml")
    with pytest.raises(DataError, match="cannot read the folder"):
        annotation_files(tmp_path / "none")
