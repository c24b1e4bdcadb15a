# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""linelog, with real fifos."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from frames import Entry, Framer, Part, encode_frame
from journal import Journal, Selection, decode_line, encode_line, format_time, parse_time
from pluginserver import Server

SECOND = 1_000_000_000
HOUR = "2026-01-02T03:00:0"  # and a digit


def entry(second: int, line: str, source: str = "stdout") -> Entry:
    return Entry(source, parse_time(f"{HOUR}{second}Z"), line.encode())


class Engine:
    """The engine's side: it makes fifos, keeps them open, and writes frames."""

    def __init__(self, module: ModuleType, place: Path, serving: Any, ask: Any) -> None:
        self.module = module
        self.root, self.fifos = place / "logs", place / "fifos"
        self.fifos.mkdir()
        self.serving, self.ask = serving, ask
        self.files: dict[str, int] = {}
        self.restart()

    def restart(self) -> None:
        self.driver = self.module.LineLog(self.root, self.fifos)
        self.resumed = self.driver.resume()
        self.connection = self.serving(self.module.log_service(self.driver), Server)

    def call(self, method: str, status: int = 200, **arguments: Any) -> Any:
        found, answer = self.ask(self.connection, f"LogDriver.{method}", **arguments)
        assert found == status, answer
        return answer

    def open(self, name: str) -> None:
        os.mkfifo(self.fifos / name, 0o700)
        self.files[name] = os.open(self.fifos / name, os.O_RDWR | os.O_NONBLOCK)

    def start(self, name: str, container: str = "c1") -> None:
        self.open(name)
        self.call("StartLogging", File=str(self.fifos / name), Info={"ContainerID": container})

    def write(self, name: str, *entries: Entry) -> None:
        os.write(self.files[name], b"".join(map(encode_frame, entries)))

    def stop(self, name: str) -> None:
        self.call("StopLogging", File=str(self.fifos / name))
        os.close(self.files.pop(name))
        (self.fifos / name).unlink()

    def request(self, container: str = "c1", **config: Any) -> Any:
        arguments = {"Info": {"ContainerID": container}, "Config": config}
        # One connection for each stream: it is busy as long as the stream lasts.
        connection = type(self.connection)(self.connection.path)
        connection.request("POST", "/LogDriver.ReadLogs", body=json.dumps(arguments))
        response = connection.getresponse()
        assert response.status == 200
        return connection, response

    def read(self, **config: Any) -> list[Entry]:
        connection, response = self.request(**config)
        found = list(Framer().feed(response.read()))
        connection.close()
        return found

    def end(self) -> None:
        self.driver.close()
        for file in self.files.values():
            os.close(file)


@pytest.fixture
def engine(linelog: ModuleType, short: Path, serving, ask) -> Iterator[Engine]:
    made = Engine(linelog, short, serving, ask)
    yield made
    made.end()


def lines(engine: Engine, container: str = "c1") -> list[dict[str, Any]]:
    content = (engine.root / f"{container}.jsonl").read_text()
    return [json.loads(line) for line in content.splitlines()]


def test_stop_answers_when_everything_is_written(engine: Engine) -> None:
    engine.start("f1")
    engine.write("f1", *(entry(1, f"line {number}") for number in range(1000)))
    engine.stop("f1")
    assert [line["line"] for line in lines(engine)] == [f"line {number}" for number in range(1000)]
    assert lines(engine)[0] == {"time": f"{HOUR}1.000000000Z", "source": "stdout", "line": "line 0"}
    assert (engine.root / "c1.jsonl").stat().st_mode & 0o777 == 0o600
    assert engine.driver.streams == {}


def test_what_it_says_about_itself(engine: Engine) -> None:
    assert engine.call("Capabilities") == {"Cap": {"ReadLogs": True}, "Err": ""}


def test_reading_back(engine: Engine) -> None:
    engine.start("f1")
    engine.write("f1", *(entry(second, f"at {second}", "stderr") for second in range(1, 6)))
    engine.stop("f1")
    written = [entry(second, f"at {second}\n", "stderr") for second in range(1, 6)]
    assert engine.read() == written
    assert (
        engine.read(Tail=-1, Since="0001-01-01T00:00:00Z", Until="0001-01-01T00:00:00Z") == written
    )
    assert engine.read(Tail=2) == written[3:]
    assert engine.read(Tail=0) == []
    assert engine.read(Since=f"{HOUR}3Z") == written[2:]
    assert engine.read(Since="2026-01-02T05:00:03.000000001+02:00") == written[3:]
    assert engine.read(Until=f"{HOUR}3Z") == written[:3]
    assert engine.read(Since=f"{HOUR}2Z", Until=f"{HOUR}4Z", Tail=2) == written[2:4]
    assert engine.read(Follow=True) == written  # nobody writes any more


@pytest.mark.parametrize("ends", ["writer", "until", "client"])
def test_following(engine: Engine, ends: str) -> None:
    engine.start("f1")
    engine.write("f1", entry(1, "one"))
    config = {"Until": f"{HOUR}3Z"} if ends == "until" else {}
    connection, response = engine.request(Follow=True, **config)
    framer = Framer()
    one = encode_frame(entry(1, "one\n"))
    assert list(framer.feed(response.read(len(one)))) == [entry(1, "one\n")]
    engine.write("f1", entry(2, "two"))
    assert list(framer.feed(response.read(len(one)))) == [entry(2, "two\n")]
    if ends == "writer":
        engine.stop("f1")
    elif ends == "until":
        engine.write("f1", entry(4, "late"))
    if ends == "client":
        response.close()
    else:
        assert response.read() == b""
    connection.close()


def test_a_follower_that_has_gone_is_forgotten(engine: Engine) -> None:
    ours, theirs = socket.socketpair()
    journal = Journal(engine.root / "c9.jsonl")
    journal.add_writer()
    journal.append([entry(1, "one")])
    reading = journal.read(Selection(follow=True), ours)
    assert next(reading) == entry(1, "one")
    assert len(journal.followers) == 1
    theirs.close()
    assert list(reading) == []
    assert journal.followers == set()
    ours.close()


def test_after_a_restart_the_fifo_is_read_on(engine: Engine) -> None:
    engine.start("f1")
    engine.write("f1", entry(1, "before"))
    engine.driver.close()
    engine.write("f1", entry(2, "between"))
    engine.restart()
    assert engine.resumed == 1
    engine.write("f1", entry(3, "after"))
    engine.stop("f1")
    assert [line["line"] for line in lines(engine)] == ["before", "between", "after"]


def test_a_fifo_that_is_gone_is_forgotten(engine: Engine) -> None:
    engine.start("f1")
    engine.driver.close()
    (engine.fifos / "f1").unlink()
    engine.restart()
    assert engine.resumed == 0
    assert json.loads((engine.root / "streams.json").read_text())["streams"] == {}


@pytest.fixture
def reader(linelog: ModuleType, engine: Engine) -> Iterator[Any]:
    """A reader of fifo f1 without its thread: the test says when it reads."""
    engine.open("f1")
    made = linelog.Reader(engine.fifos / "f1", Journal(engine.root / "c1.jsonl"), [].append)
    yield made
    os.close(made.file)
    os.close(made.wake)


def test_half_a_frame_is_thrown_away(reader: Any, engine: Engine, capsys) -> None:
    # What a killed process leaves: the fifo begins in the middle of a frame.
    half = encode_frame(entry(1, "x" * 40))[20:]
    os.write(engine.files["f1"], half + encode_frame(entry(1, "lost")))
    assert reader.drain() is False
    engine.write("f1", entry(2, "whole"))
    assert reader.drain() is False
    assert [line["line"] for line in lines(engine)] == ["whole"]
    lost = len(half) + len(encode_frame(entry(1, "lost")))
    assert capsys.readouterr().err == f"f1: {lost} bytes thrown away: not frames\n"


def test_a_full_disk_loses_messages_and_nothing_else(reader: Any, engine: Engine, capsys) -> None:
    path = reader.journal.path
    path.symlink_to("/dev/full")
    for second in (1, 2):
        engine.write("f1", entry(second, "lost"))
        assert reader.drain() is False
    path.unlink()
    engine.write("f1", entry(3, "kept"))
    assert reader.drain() is False
    assert [line["line"] for line in lines(engine)] == ["kept"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "No space left on device" in said[0]
    assert said[1].endswith("2 messages were lost")


def test_an_engine_that_dies_ends_its_streams(engine: Engine) -> None:
    engine.start("f1")
    engine.write("f1", entry(1, "last words"))
    thread = engine.driver.readers["f1"].thread
    os.close(engine.files.pop("f1"))
    thread.join(10)
    assert not thread.is_alive()
    assert [line["line"] for line in lines(engine)] == ["last words"]
    assert engine.driver.streams == {}
    engine.call("StopLogging", File=str(engine.fifos / "f1"))


def test_only_the_last_piece_of_a_long_line_ends_it(engine: Engine) -> None:
    engine.start("f1")
    for part in (Part(last=False, id="a", ordinal=1), Part(last=True, id="a", ordinal=2), None):
        engine.write("f1", Entry("stdout", 1, b"x", partial=True, part=part))
    engine.stop("f1")
    assert [found.line for found in engine.read()] == [b"x", b"x\n", b"x"]


def test_one_file_for_all_lives_of_a_container(engine: Engine) -> None:
    for name, line in (("f1", "first"), ("f2", "second")):
        engine.start(name)
        engine.write(name, entry(1, line))
        engine.stop(name)
    assert [found.line for found in engine.read()] == [b"first\n", b"second\n"]


def test_asked_twice(engine: Engine) -> None:
    engine.start("f1")
    file, info = str(engine.fifos / "f1"), {"ContainerID": "c1"}
    engine.call("StartLogging", File=file, Info=info)
    engine.write("f1", entry(1, "once"))
    engine.stop("f1")
    engine.call("StopLogging", File=file)
    assert len(lines(engine)) == 1


def test_what_cannot_be(engine: Engine) -> None:
    info = {"ContainerID": "c1"}
    (engine.fifos / "plain").touch()
    for file, error in [
        ("/etc/passwd", "not in"),
        (str(engine.fifos / ".." / "x"), "not in"),
        (str(engine.fifos / "none"), "No such file"),
        (str(engine.fifos / "plain"), "not a fifo"),
    ]:
        assert error in engine.call("StartLogging", 500, File=file, Info=info)["Err"]
    assert engine.driver.streams == {}
    for wrong in ({}, {"ContainerID": "../x"}, {"ContainerID": 1}):
        file = str(engine.fifos / "plain")
        assert "ContainerID" in engine.call("StartLogging", 400, File=file, Info=wrong)["Err"]
    assert "no log of" in engine.call("ReadLogs", 500, Info=info)["Err"]
    for config in ({"Since": "yesterday"}, {"Tail": "many"}):
        assert (
            "cannot read the request"
            in engine.call("ReadLogs", 400, Info=info, Config=config)["Err"]
        )


PIECE = Part(last=True, id="ab", ordinal=2)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Entry("stdout", 1, b"h\xc3\xa9"), '"line": "h\u00e9"}'),
        (Entry("stdout", 1, b"\xff"), '"base64": "/w=="}'),
        (Entry("stdout", 1, b"a\nb"), '"line": "a\\nb"}'),
        (
            Entry("stdout", 1, b"a", partial=True, part=PIECE),
            '"line": "a", "partial": true, "part": {"last": true, "id": "ab", "ordinal": 2}}',
        ),
    ],
)
def test_lines_of_the_file(message: Entry, line: str) -> None:
    written = encode_line(message)
    begin = '{"time": "1970-01-01T00:00:00.000000001Z", "source": "stdout", '
    assert written.decode() == begin + line + "\n"
    assert decode_line(written) == message


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"{}", b'{"time": "x", "line": "a"}'])
def test_a_line_that_is_cut_off_is_nothing(line: bytes) -> None:
    assert decode_line(line) is None


def test_after_half_a_line_a_new_one_begins(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "c1.jsonl")
    journal.path.write_bytes(b'{"time": "20')
    journal.append([entry(1, "next")])
    assert [decode_line(line) for line in journal.path.read_bytes().splitlines()] == [
        None, entry(1, "next"),
    ]  # fmt: skip


@pytest.mark.parametrize("nanoseconds", [0, 1, SECOND - 1, 1_767_225_600 * SECOND + 5, -1])
def test_times(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    "value", ["", "1", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"]
)
def test_what_is_not_a_time(value: str) -> None:
    with pytest.raises(ValueError):
        parse_time(value)
