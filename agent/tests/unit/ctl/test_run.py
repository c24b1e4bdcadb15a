# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container from its order to its end; nothing of it is lost, nothing of it is left."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import container_engine
from fakes.container_engine import ID, Engine
from plugind.ctl import main
from plugind.ctl import run as ctl_run

FLOW = ["create", "attach", "wait", "start"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with container_engine.serve(tmp_path / "s") as running:
        yield running


class Runner:
    def __init__(self, engine: Engine, capsys: pytest.CaptureFixture[str], path: Path) -> None:
        self.engine = engine
        self._capsys = capsys
        self._path = path

    def __call__(self, *command: str, code: int = 0, **more: Any) -> dict[str, Any]:
        order = {"image": "app:1", "command": list(command), **more}
        self._path.write_text(json.dumps(order))
        assert main.main(["run", str(self._path), "--json", "--engine", self.engine.url]) == code
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return answer

    @property
    def verbs(self) -> list[str]:
        found = [path.rpartition("/")[2] for _, path in self.engine.calls]
        return [verb for verb in found if verb != "json"]


@pytest.fixture
def run(engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Runner:
    return Runner(engine, capsys, tmp_path / "order.json")


def test_output_and_code(run: Runner, engine: Engine) -> None:
    answer = run("echo", "hello", "you")
    assert answer == {
        "changed": True, "failed": False, "msg": "", "rc": 0, "stdout": "hello you",
        "stderr": "on the side", "image": "app:1", "image_id": "sha256:1", "container": ID,
        "warnings": ["no swap limit"], "engine": engine.url,
    }  # fmt: skip
    assert run.verbs == FLOW
    assert engine.removed


def test_a_code_other_than_zero_is_a_failure(run: Runner) -> None:
    answer = run("exit", "3", code=1)
    assert (answer["failed"], answer["rc"], answer["msg"]) == (True, 3, "non-zero return code")
    assert answer["changed"]


def test_input_of_any_size_gets_there(run: Runner) -> None:
    text = "x" * 3_000_000
    assert run("cat", stdin=text)["stdout"] == text
    assert run("echo", "deaf", stdin=text)["stdout"] == "deaf", "nobody has to read it"


def test_bytes_that_are_no_text(run: Runner) -> None:
    assert run("bytes")["stdout"] == "\ufffd\ufffd"


@pytest.mark.parametrize("command", ["hang", "deaf"])
def test_a_time_limit(run: Runner, command: str) -> None:
    answer = run(command, code=1, timeout=0.1)
    assert answer["msg"] == "the command did not end within 0.1 s and was killed"
    assert (answer["rc"], answer["stdout"]) == (137, "so far")
    assert run.verbs == [*FLOW, "kill"]


def test_too_much_output(run: Runner) -> None:
    answer = run("flood", code=1)
    assert answer["msg"] == "the command was killed: stdout has more than 16777216 bytes"
    assert (answer["rc"], answer["stdout"]) == (137, "x" * 4096)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("half", "stdout ended in the middle of a frame"),
        ("terminal", "the engine sent no frames: they do not begin with 110"),
        ("system", "the engine says: disk full"),
    ],
)
def test_output_that_breaks_off(run: Runner, command: str, why: str) -> None:
    answer = run(command, code=1)
    assert answer["msg"] == f"the command was killed: its output was lost: {why}"
    assert run.verbs == [*FLOW, "kill"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_container_too(
    run: Runner, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    before = signal.getsignal(number)
    engine.on_start = lambda: os.kill(os.getpid(), number)
    (tmp_path / "order").write_text(json.dumps({"image": "app:1", "command": ["hang"]}))
    code = ctl_run.main_run([str(tmp_path / "order"), "--json", "--engine", engine.url])
    assert code == 128 + number
    assert "ended by SIG" in capsys.readouterr().err
    assert engine.calls[-1] == ("DELETE", f"/containers/{ID}")
    assert signal.getsignal(number) == before


def test_a_signal_waits_until_it_is_known_what_to_remove() -> None:
    reached = False
    with ctl_run._Interrupts() as interrupts:
        held = interrupts.held()
        held.__enter__()
        os.kill(os.getpid(), signal.SIGTERM)
        reached = True
        with pytest.raises(ctl_run._Interrupted):
            held.__exit__(None, None, None)
    assert reached


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("create", "cannot create a container of app:1: bad"),
        ("attach", "cannot run app:1: bad"),
        ("wait", "cannot run app:1: bad"),
        ("start", "cannot run app:1: bad"),
    ],
)
@pytest.mark.parametrize("status", [400, 409, 500])
def test_what_the_engine_refuses(
    run: Runner, engine: Engine, verb: str, message: str, status: int
) -> None:
    engine.refusals[("POST", verb)] = (status, "bad")
    answer = run("echo", code=1)
    assert (answer["failed"], answer["msg"]) == (True, message)
    assert (("DELETE", f"/containers/{ID}") in engine.calls) == (verb != "create")


def test_an_engine_that_goes_away(run: Runner, engine: Engine) -> None:
    engine.on_start = engine.die
    message = run("hang", code=3)["msg"]
    assert message.startswith("cannot tell how the command ended: the connection broke: ")
    assert "; container cccccccccccc may still be there: cannot DELETE" in message


def test_a_container_that_cannot_be_removed_is_a_warning(run: Runner, engine: Engine) -> None:
    engine.removal_error = "device busy"
    assert run("echo", "hello")["warnings"] == ["no swap limit"]
    assert engine.calls[-1] == ("DELETE", f"/containers/{ID}")
    engine.refusals[("DELETE", ID)] = (500, "device busy")
    answer = run("echo", "hello")
    assert (answer["failed"], answer["stdout"]) == (False, "hello")
    assert answer["warnings"][1] == (
        "container cccccccccccc may still be there: cannot remove it: device busy"
    )


def test_pull_when_missing(run: Runner, engine: Engine) -> None:
    run("echo")
    assert ("POST", "/images/create") not in engine.calls
    engine.registry = {"r.example/app:2", "docker.io/library/app:latest"}
    credentials = {"username": "u", "password": "p"}
    run("echo", image="r.example/app:3", code=1)
    answer = run("echo", image="r.example/app:2", credentials=credentials)
    assert answer["image_id"] == "sha256:1"
    assert json.loads(base64.urlsafe_b64decode(engine.credentials)) == credentials


def test_pull_always_and_never(run: Runner, engine: Engine) -> None:
    answer = run("echo", pull="always", code=1)
    assert answer["msg"] == "cannot pull app:1: manifest unknown"
    answer = run("echo", pull="never", image="app:2", code=1)
    assert answer["msg"] == "cannot run app:2: no such image, and pull is never"
    assert engine.container is None


def test_creates_and_removes(run: Runner, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for condition, why in (
        ({"creates": f"{tmp_path}/the*"}, f"'{tmp_path}/the*' exists"),
        ({"removes": f"{tmp_path}/gone"}, f"'{tmp_path}/gone' does not exist"),
    ):
        answer = run("echo", **condition)
        assert (answer["changed"], answer["rc"]) == (False, 0)
        assert answer["msg"] == f"Did not run command since {why}"
    assert engine.calls == []
    assert run("echo", creates=f"{tmp_path}/no", removes=f"{tmp_path}/there")["changed"]


def test_a_dry_run(run: Runner, engine: Engine, tmp_path: Path) -> None:
    answer = run("echo", "--password=p", dry_run=True)
    assert (answer["skipped"], answer["changed"]) == (True, False)
    assert answer["msg"] == "Would run app:1 echo"
    answer = run("echo", dry_run=True, creates=f"{tmp_path}/no")
    assert ("skipped" in answer, answer["changed"]) == (False, True)
    run("echo", dry_run=True, image="app:2", pull="never", code=1)
    run("echo", dry_run=True, image="APP", code=2)
    assert engine.container is None


def test_for_people(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "order").write_text(json.dumps({"image": "app:1", "command": "echo 'a  b'"}))
    assert ctl_run.main_run([str(tmp_path / "order"), "--engine", engine.url]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a  b\n", "on the sidewarning: no swap limit\n")


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "order").write_text('{"image": "app:1"}')
    assert ctl_run.main_run([str(tmp_path / "order"), "--socket", f"{tmp_path}/none"]) == 3
    assert "cannot connect to unix:///" in capsys.readouterr().err
