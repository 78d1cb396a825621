"""Tokens of protobuf's text format: names, numbers, strings, symbols; comments and white space are skipped.

What is a token, and which errors are raised, follow protobuf's C++ tokenizer (google/protobuf/io/tokenizer.cc) as its
text format sets it up: comments start with ``#``, a float may end in ``f``, numbers and names need no space between.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from caffepy.errors import ParseError

__all__ = ["END", "FLOAT", "INT", "NAME", "STRING", "SYMBOL", "Tokens", "unescape"]

NAME: Final = 1
FLOAT: Final = 2
INT: Final = 3
STRING: Final = 4
SYMBOL: Final = 5
END: Final = 6

# One match per token. The last two alternatives take anything, so the skipping part never has to give back. Matching
# keeps some bytes for each escape of a string, so a string of more than these is matched in parts, by _LONG_STRING.
_TOKEN = re.compile(
    r"""
    (?: [ \t\r\n\f\v]+ | \#[^\n]* )*
    (?: ([A-Za-z_][A-Za-z0-9_]*)
      | ( (?: (?:0|[1-9][0-9]*)\.[0-9]* | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? [fF]?
        | (?:0|[1-9][0-9]*) (?: [eE][+-]?[0-9]+ [fF]? | [fF] ) )
      | (0[xX][0-9A-Fa-f]+ | 0[0-7]* | [1-9][0-9]*)
      | ("[^"\\\n]*(?:\\[^\n][^"\\\n]*){0,1000}" | '[^'\\\n]*(?:\\[^\n][^'\\\n]*){0,1000}')
      | (.)
      | (\Z) )
    """,
    re.VERBOSE | re.DOTALL,
)
_LONG_STRING = {
    quote: re.compile(rf"[^{quote}\\\n]*(?:\\[^\n][^{quote}\\\n]*){{0,1000}}", re.DOTALL) for quote in "\"'"
}
# Longer than any number that means something; longer ones only cost time.
_LONGEST_NUMBER = 1000

_ESCAPE = re.compile(
    r"""\\ (?: ([0-7]{1,3}) | [xX]([0-9A-Fa-f]{1,2})
      | u([dD][89abAB][0-9A-Fa-f]{2}) \\ u([dD][c-fC-F][0-9A-Fa-f]{2})
      | u([0-9A-Fa-f]{4}) | U([0-9A-Fa-f]{8}) | (.) )
    """,
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    "?": b"?",
    "'": b"'",
    '"': b'"',
}


class Tokens:
    """The current token of a text, as `kind`, `token`, `line` and `start`; `advance` goes to the next."""

    __slots__ = ("_end", "file", "kind", "line", "start", "text", "token")

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.line = 1
        self.kind = END
        self.token = ""
        self.start = 0
        self._end = 1 if text.startswith("\ufeff") else 0
        self.advance()

    def advance(self) -> None:
        """Go to the next token; at the end of the text, `kind` is END."""
        match = _TOKEN.match(self.text, self._end)
        assert match is not None
        kind = match.lastindex
        assert kind is not None
        self.start = match.start(kind)
        self.line += self.text.count("\n", self._end, self.start)
        self._end = match.end()
        self.kind = kind
        self.token = match[kind]
        if kind == SYMBOL and not (self.token in _LONG_STRING and self._long_string()):
            self._check_symbol()
        elif kind in (INT, FLOAT):
            self._check_number()

    def fail(self, message: str, line: int = 0) -> NoReturn:
        """Raise a ParseError about the current token, or about an earlier line."""
        if line:
            raise ParseError(f"{self.file}:{line}: {message}")
        column = self.start - self.text.rfind("\n", 0, self.start)
        raise ParseError(f"{self.file}:{self.line}:{column}: {message}")

    def shown(self) -> str:
        """The current token as a message shows it."""
        if self.kind == END:
            return "the end of the file"
        return self.token if len(self.token) <= 60 else self.token[:57] + "..."

    def _long_string(self) -> bool:
        """Take the string that begins with the current token; False if it does not end on its line."""
        quote = self.token
        part, begin, end = _LONG_STRING[quote], -1, self._end
        while end != begin:
            match = part.match(self.text, end)
            assert match is not None
            begin, end = end, match.end()
        if not self.text.startswith(quote, end):
            return False
        self.kind = STRING
        self._end = end + 1
        self.token = self.text[self.start : self._end]
        return True

    def _check_symbol(self) -> None:
        char = self.token
        if char in "\"'":
            self.fail(
                f"String literals cannot cross line boundaries: no closing {char} on this line. Close the string, or "
                "continue it in a second string on the next line."
            )
        if char < " " or char == "\x7f":
            self.fail(
                f"Invalid control characters encountered in text: byte 0x{ord(char):02x}. "
                "The file is binary or damaged."
            )
        if char == "/" and self.text.startswith(("//", "/*"), self.start):
            self.fail(f"Expected identifier, got: {char}. A comment starts with # in this format.")
        if char == "$" or self.text.startswith(("{{", "<%"), self.start):
            self.fail(f"Expected identifier, got: {char}. This is a template: run the script that fills it in first.")
        if char > "~":
            self.fail(
                f"Expected identifier, got: {char!a}. Only comments and strings may hold letters that are "
                "not ASCII; look for a full-width quote, colon or space."
            )

    def _check_number(self) -> None:
        if len(self.token) > _LONGEST_NUMBER:
            self.fail(f"Integer out of range ({self.token[:20]}...): a number of {len(self.token)} characters.")
        after = self.text[self._end : self._end + 1]
        if after == "." and self.kind == FLOAT:
            self.fail(f"Already saw decimal point or exponent; can't have another one: {self.token}.")
        elif after == ".":
            self.fail(f"Hex and octal numbers must be integers: {self.token}.")
        elif after in "0123456789" and after and self.kind == INT:
            self.fail(f"Numbers starting with leading zero must be in octal: {self.token}{after}. Drop the zero.")
        elif after in "xX" and after and self.token == "0":
            self.fail('"0x" must be followed by hex digits.')
        elif (
            after in "eE"
            and after
            and self.token[-1] not in "fF"
            and (self.kind == FLOAT or self.token == "0" or self.token[0] != "0")
        ):
            self.fail(f'"e" must be followed by exponent: {self.token}{after}.')


def unescape(literal: str) -> bytes:
    """The bytes of a string literal, quotes included in ``literal``; ValueError says what is wrong with it."""
    body = literal[1:-1]
    if "\\" not in body:
        return body.encode("utf-8", "surrogateescape")
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(body):
        out += body[position : match.start()].encode("utf-8", "surrogateescape")
        position = match.end()
        octal, hexadecimal, high, low, short, long, simple = match.groups()
        if octal:
            out.append(int(octal, 8) & 0xFF)
        elif hexadecimal:
            out.append(int(hexadecimal, 16))
        elif high:
            out += chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00).encode()
        elif short or long:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise ValueError(f"{match[0]} is not a character")
            out += chr(code).encode()
        elif simple in _SIMPLE:
            out += _SIMPLE[simple]
        else:
            raise ValueError(f"Invalid escape sequence in string literal: {match[0]}. Write \\\\ for a backslash")
    out += body[position:].encode("utf-8", "surrogateescape")
    return bytes(out)
