"""Lines and files as nobody should write them, and what has to become of each: `ok`, or why it is refused.

Literal, but for beginnings of a good line, of which every one is tried.
"""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = b'{"user_id": "u", "item_id": "i", "timestamp": "2026-01-05T10:00:00Z"}'
LATE = "timestamp out of range"
ODD = "bad timestamp"
MALFORMED = "malformed json"
NO_OBJECT = "not a json object"


def _line(**fields: Any) -> bytes:
    return json.dumps({"user_id": "u", "item_id": "i", "timestamp": "2026-01-05T10:00:00Z"} | fields).encode()


def _raw(user: bytes = b'"u"', item: bytes = b'"i"', time: bytes = b"1767607200") -> bytes:
    return b'{"user_id": %s, "item_id": %s, "timestamp": %s}' % (user, item, time)


NDJSON: list[tuple[bytes, str]] = [
    *((GOOD[:end], MALFORMED) for end in range(1, len(GOOD))),
    *(
        (line, MALFORMED)
        for line in [
            b"}",
            b"{]",
            b"[}",
            b"{{}}",
            b"{'user_id': 'u'}",
            b'{user_id: "u"}',
            b'{"user_id" "u"}',
            b'{"a": }',
            b'{"a": 1 "b": 2}',
            b'{"a": 01}',
            b'{"a": +1}',
            b'{"a": .5}',
            b'{"a": 1.}',
            b'{"a": 0x1}',
            b'{"a": 1e}',
            b'{"a": tru}',
            b'{"a": True}',
            b'{"a": None}',
            b'{"a": undefined}',
            b'{"a": "\\x41"}',
            b'{"a": "\\u12"}',
            b'{"a": "\\ud800"}',
            b'{"a": "\t"}',
            b'{"a": "\x00"}',
            b"hello",
            b"nul",
            b'"',
            b"\x00",
            b"\x1b[31m",
            GOOD + GOOD,
            GOOD + b",",
            GOOD + b" x",
            b"," + GOOD,
            b"[" + GOOD,
            GOOD + b"]",
            b"user_id,item_id,timestamp",
            b"u,i,1767607200",
            b"<event/>",
            b"# a comment",
            b"-",
            b"\xef\xbb\xbf" + GOOD,
            b"\xc2\x85",
            "｛｝".encode(),
            b"{" * 2000,
            b"NaN1",
        ]
    ),
    *(
        (line, NO_OBJECT)
        for line in [
            b"null",
            b"true",
            b"1",
            b"-1.5e3",
            b'"u"',
            b"[]",
            b"[" + GOOD + b"]",
            b"[[[[]]]]",
            b'" { } "',
        ]
    ),
    *((line, "blank line") for line in [b"", b" ", b"\t", b" \t ", b"    "]),
    *(
        (line, "invalid utf-8")
        for line in [
            b"\xff",
            b"\xfe\xff",
            b"\x1f\x8b\x08",
            b"\x80",
            b"\xc3",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf5\x80\x80\x80",
            b"\xe2\x28\xa1",
            GOOD[:20] + b"\xe9" + GOOD[20:],
            _raw(user=b'"caf\xe9"'),
            b"\xff" * 3000,
            GOOD + b"\xc3",
        ]
    ),
    *(
        (line, "missing user")
        for line in [
            b"{}",
            b'{"item_id": "i", "timestamp": 1767607200}',
            _raw(user=b"null"),
            _raw(user=b'""'),
            _raw(user=b'" "'),
            b'{"USER_ID": "u", "item_id": "i", "timestamp": 1767607200}',
            b'{"user_id ": "u"}',
            b'{"": "u"}',
            b'{"user": {"user_id": "u"}, "item_id": "i", "timestamp": 1767607200}',
        ]
    ),
    *(
        (line, "missing item")
        for line in [
            b'{"user_id": "u", "timestamp": 1767607200}',
            _raw(item=b"null"),
            _raw(item=b'""'),
            _raw(item=b'"   "'),
        ]
    ),
    *(
        (line, "missing timestamp")
        for line in [
            b'{"user_id": "u", "item_id": "i"}',
            _raw(time=b"null"),
            _raw(time=b'""'),
            _raw(time=b'"  "'),
        ]
    ),
    *(
        (_raw(user=one), "user is neither text nor integer")
        for one in [
            b"1.5",
            b"1.0",
            b"1e3",
            b"true",
            b"false",
            b"[]",
            b'["u"]',
            b"{}",
            b'{"id": 1}',
            b"NaN",
            b"-Infinity",
            b"18446744073709551616",
            b"123456789012345678901234567890",
        ]
    ),
    *(
        (_raw(item=one), "item is neither text nor integer")
        for one in [
            b"1.5",
            b"true",
            b"[1]",
            b'{"id": 1}',
            b"-9223372036854775809",
        ]
    ),
    *(
        (line, "repeated key")
        for line in [
            b'{"user_id": "u", ' + GOOD[1:],
            GOOD[:-1] + b', "item_id": "j"}',
            GOOD[:-1] + b', "timestamp": 0}',
            GOOD[:-1] + b', "user\\u005fid": "v"}',
            GOOD[:-1] + b', "user_id": null}',
        ]
    ),
    (_line(user_id="x" * 1025), "user id too long"),
    (_line(item_id="ü" * 1025), "item id too long"),
    (_line(more="x" * 2**20), "line too long"),
    *(
        (line, "ok")
        for line in [
            GOOD,
            b"  " + GOOD + b"\t ",
            _raw(user=b"7"),
            _raw(user=b"-7"),
            _raw(user=b"0"),
            _raw(user=b"9223372036854775807"),
            _raw(user=b"18446744073709551615"),
            _raw(user=b'" u "'),
            _raw(user=b'"\\u0000"'),
            _raw(user=b'"\\ud83d\\ude00"'),
            _raw(user="😀".encode().join([b'"', b'"'])),
            _raw(user=b'"\\u202e"'),
            _raw(user=b'"null"'),
            _raw(user=b'"\\n"x"'.replace(b'"x', b"x")),
            _raw(user=b'"\'; drop table events; --"'),
            _raw(user=b'"../../etc/passwd"'),
            _raw(user=b'"${HOME}"'),
            _raw(user=b'"\\u001b[31m"'),
            _line(user_id="x" * 1024),
            _line(more={"deep": [[[{}]]]}),
            _line(users=1, user_id2=2),
            GOOD[:-1] + b', "x": 1, "x": 2}',
            GOOD[:-1] + b', "x": NaN}',
            GOOD[:-1] + b",}",
            _line(more="\u2028\x85"),
            GOOD[:-1] + b', "user_id\\u0000": "v"}',
        ]
    ),
]

MOMENTS: list[tuple[str, str]] = [  # as text, in every format
    *(
        (text, "ok")
        for text in [
            "2026-01-05",
            "2026-01-05T10:00",
            "2026-01-05 10:00:00",
            "2026-01-05T10:00:00Z",
            "2026-01-05T10:00:00.1Z",
            "2026-01-05T10:00:00.123456789Z",
            "2026-01-05T10:00:00+01:00",
            "2026-01-05T10:00:00-0800",
            "2026-01-05T10:00:00+05",
            "2026-01-05T10:00:00 UTC",
            "  2026-01-05T10:00:00Z  ",
            "1767607200",
            "1767607200.5",
            "1767607200000",
            "1767607200000000",
            "1767607200000000000",
            "1.7676072e9",
            "+1767607200",
            " 1767607200 ",
            "2026-01-04T24:00:00Z",
        ]
    ),
    *(
        (text, ODD)
        for text in [
            "yesterday",
            "2026-01-05T10:00:00z",
            "2026-13-01",
            "2026-02-29",
            "2026-01-32",
            "2026-00-10",
            "20260105T100000Z",
            "05.01.2026",
            "2026-01-05T25:00:00Z",
            "2026-01-05T10:60:00Z",
            "2026-01-05T10:00:60Z",
            "2026-01-05T10",
            "2026-01-05T",
            "2026-01-05T10:00:00+24:00",
            "2026-01-05T10:00:00+01:60",
            "2026-01-05T10:00:00+1",
            "2026-01-05T10:00:00ZZ",
            "2026-01-05T10:00:00 CET",
            "2026-01-05T10:00:00[Europe/Berlin]",
            "2026-01-05T10:00:00,5Z",
            "2026-W02-1",
            "Mon, 05 Jan 2026 10:00:00 GMT",
            "infinity-ish",
            "0x69",
            "1767607200s",
            "1,767,607,200",
            "１７６７６０７２００",
            "2026-01-05T10:00:00−01:00",
            "true",
            "epoch",
            "now",
            "today",
            "(2026-01-05)",
            "12026-01-05",
            "-2026-01-05",
        ]
    ),
    *(
        (text, LATE)
        for text in [
            "0",
            "-1",
            "1",
            "1e300",
            "-1e300",
            "inf",
            "-inf",
            "nan",
            "631151999",
            "4102444800",
            "1989-12-31T23:59:59Z",
            "2100-01-01",
            "9999-12-31T23:59:59Z",
            "0001-01-01",
            "99999999999999999999999999999999999999999999",
        ]
    ),
]

HEADER = b"user_id,item_id,timestamp\n"
CSV: list[tuple[bytes, list[str]]] = [  # some lines after a header, what becomes of each record
    *(
        (line, ["ok"])
        for line in [
            b"u,i,1767607200",
            b'"u","i","1767607200"',
            b'u,"i, j",1767607200',
            b'u,"i ""j""",1767607200',
            b'u,"i\nj",1767607200',
            b'u,"i\r\nj\n\n",1767607200',
            b'u,i"j,1767607200',
            b"u, i ,1767607200",
            b"u,i,1767607200\r",
            b"\xef\xbb\xbfu,i,1767607200",
            b"u,\x00,1767607200",
            b"u,'i',1767607200",
            b"u,=1+1,1767607200",
            b"u,i\\,1767607200",
            "ü,é,1767607200".encode(),
            b'u,"' + b"\n" * 99 + b'",1767607200',
            b'u,"' + b"i" * 1000 + b'",1767607200',
            b"NULL,nan,1767607200",
            b"#u,i,1767607200",
            b'"""u""""v",i,1767607200',
        ]
    ),
    *(
        (line, ["wrong number of fields"])
        for line in [
            b"u,i",
            b"u",
            b"u,i,1767607200,",
            b"u,i,1767607200,x",
            b",,,",
            b"u;i;1767607200",
            b"u\ti\t1767607200",
            b'"u,i,1767607200"',
            b"{}",
            b"\x00",
            b"\xc2\x85",
            "\u2028".encode(),
        ]
    ),
    *((line, ["blank line"]) for line in [b"", b" ", b"\t", b"  \t", b"\x0b\x0c"]),
    *(
        (line, ["malformed csv"])
        for line in [
            b'"u"x,i,1767607200',
            b'u,"i" ,1767607200',
            b'u,""i,1767607200',
            b'"u""v"w,i,1767607200',
        ]
    ),
    *(
        (line, ["unclosed quote"])
        for line in [
            b'"u,i,1767607200',
            b'u,"i,1767607200',
            b'u,i,"1767607200',
            b'"',
            b'u,i,1767607200"'.replace(b'0"', b'0,"'),
        ]
    ),
    *(
        (line, ["invalid utf-8"])
        for line in [
            b"\xff,i,1767607200",
            b"u,caf\xe9,1767607200",
            b"u,\xed\xa0\x80,1767607200",
            b'"\xff",i,1767607200',
            b"u,i,1767607200\xc3",
        ]
    ),
    (b",i,1767607200", ["missing user"]),
    (b'"",i,1767607200', ["missing user"]),
    (b" ,i,1767607200", ["missing user"]),
    (b"u,,1767607200", ["missing item"]),
    (b"u,i,", ["missing timestamp"]),
    (b"u,i, ", ["missing timestamp"]),
    (b",,", ["missing user"]),
    (b'u,"i\nv,j,1767607201', ["unclosed quote", "ok"]),
    (b'u,"' + b"\n" * 100 + b'",1767607200', ["unclosed quote", *["blank line"] * 99, "unclosed quote"]),
    (b'"u","i","1767607200\nv,j,1767607201', ["unclosed quote", "ok"]),
    (b"u,i,1767607200\n\nv,j,1767607201", ["ok", "blank line", "ok"]),
    (b"u,i,1767607200\rv,j,1767607201", ["ok", "ok"]),
    (b'u,"i\nj",1767607200\n"v",j', ["ok", "wrong number of fields"]),
    (b"u," + b"i" * 2**20 + b",1767607200\nv,j,1767607201", ["line too long", "ok"]),
]


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def _parquet(**columns: Any) -> bytes:
    pq.write_table(pa.table(columns), sink := io.BytesIO())
    return sink.getvalue()


_TIME = [datetime(2026, 1, 5, 10)]
_WHOLE = _parquet(user_id=["u"], item_id=["i"], timestamp=_TIME)
_FLIPPED = bytes([_WHOLE[0] ^ 255]) + _WHOLE[1:]
_TAIL = gzip.compress(GOOD)

FILES: list[tuple[str, bytes, str]] = [  # name, content, what is said; "" for a file that is taken
    ("a.ndjson", b"", ""),
    ("a.csv", b"", ""),
    ("a.csv", b"user_id,item_id,timestamp", ""),
    ("a.csv", HEADER, ""),
    ("a.ndjson", b"\n\n\n", ""),
    ("a.ndjson", b"\xef\xbb\xbf" + GOOD, ""),
    ("a.ndjson", GOOD + b"\r", ""),
    ("a.csv", b"\xef\xbb\xbf" + HEADER, ""),
    ("a.csv", b"\xef\xbb\xbf", ""),
    ("a.csv", b"\n" + HEADER, "expected a header"),
    ("a.csv", b'"user_id', "expected a header"),
    ("a.csv", b"\xff,item_id,timestamp\n", "expected a header"),
    ("a.csv", b"user_id;item_id;timestamp\n", ""),
    ("a.csv", b"user_id|item_id|timestamp\n", ""),
    ("a.csv", b"user_id\titem_id\ttimestamp\n", ""),
    ("a.csv", b" user_id , item_id , timestamp \n", ""),
    ("a.csv", b'"user_id","item_id","timestamp"\n', ""),
    ("a.csv", b"User_Id,item_id,timestamp\n", "expected a column 'user_id'"),
    ("a.csv", b"user_id,user_id,item_id,timestamp\n", "expected one column 'user_id'"),
    ("a.csv", b"u,i,1767607200\n", "expected a column 'user_id'"),
    ("a.csv", HEADER.decode().encode("utf-16"), "got UTF-16"),
    ("a.csv", HEADER.decode().encode("utf-32"), "got UTF-32"),
    ("a.ndjson", GOOD.decode().encode("utf-16"), "got UTF-16"),
    ("a.ndjson.gz", gzip.compress(GOOD) + gzip.compress(b"\n" + GOOD), ""),
    ("a.ndjson.gz", gzip.compress(b""), ""),
    ("a.ndjson.gz", _TAIL[:-1], "cannot be read"),
    ("a.ndjson.gz", _TAIL[:12], "cannot be read"),
    ("a.ndjson.gz", _TAIL + b"x", "cannot be read"),
    ("a.ndjson.gz", _TAIL[:-8] + bytes(8), "cannot be read"),
    ("a.ndjson.gz", _TAIL[:15] + b"\xff\xff" + _TAIL[17:], "cannot be read"),
    ("a.ndjson.gz", GOOD, ""),
    ("a.ndjson.zst", _zstd(GOOD + b"\n") + _zstd(GOOD), ""),
    ("a.ndjson.zst", _zstd(b""), ""),
    ("a.ndjson.zst", _zstd(GOOD)[:-1], "cannot be read"),
    ("a.ndjson.zst", _zstd(GOOD) + b"x", "cannot be read"),
    ("a.ndjson.zst", _zstd(GOOD)[:6], "cannot be read"),
    ("a.ndjson.zst", GOOD, ""),
    ("a.parquet", _WHOLE, ""),
    ("a.parquet", b"", "cannot be read"),
    ("a.parquet", b"PAR1", "cannot be read"),
    ("a.parquet", b"PAR1PAR1", "cannot be read"),
    ("a.parquet", _WHOLE[:-1], "cannot be read"),
    ("a.parquet", _WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1", "cannot be read"),
    ("a.parquet", GOOD, "cannot be read"),
    ("a.parquet", gzip.compress(_WHOLE), "cannot be read"),
    ("a.parquet", _parquet(user_id=[], item_id=[], timestamp=[]), ""),
    ("a.parquet", _parquet(user_id=["u"], item_id=["i"]), "expected a column 'timestamp'"),
    ("a.parquet", _parquet(user_id=[1.5], item_id=["i"], timestamp=_TIME), "integer or text"),
    ("a.parquet", _parquet(user_id=[b"u"], item_id=["i"], timestamp=_TIME), "integer or text"),
    ("a.parquet", _parquet(user_id=[["u"]], item_id=["i"], timestamp=_TIME), "integer or text"),
    ("a.parquet", _parquet(user_id=[{"id": 1}], item_id=["i"], timestamp=_TIME), "integer or text"),
    ("a.parquet", _parquet(user_id=["u"], item_id=["i"], timestamp=[True]), "timestamp, number or text"),
    (
        "a.parquet",
        _parquet(user_id=["u"], item_id=["i"], timestamp=[timedelta(1)]),
        "timestamp, number or text",
    ),
    ("a.parquet", _parquet(user_id=[2**40], item_id=["i"], timestamp=[datetime(2026, 1, 5, tzinfo=UTC)]), ""),
    ("a.parquet", _FLIPPED, ""),  # the magic at the beginning is nothing that a reader needs
]
