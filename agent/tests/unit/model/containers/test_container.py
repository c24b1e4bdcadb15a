# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json

import pytest

from plugind.model.containers import container as container_
from plugind.model.containers import request
from plugind.model.containers.container import Container, ContainerState, Status
from plugind.model.images.image import ImageConfig

ID = "0123456789ab" + "c" * 52


def make(**body: object) -> Container:
    parsed = request.parse({"Image": "busybox", "Cmd": ["sh"], **body})
    process, config = request.merge(parsed, ImageConfig(), ID, "host")
    return Container(
        id=ID,
        name="web",
        created_at="2026-01-01T00:00:00.5Z",
        image="busybox",
        image_id="sha256:1",
        process=process,
        config=config,
        host_config=parsed.host_config,
        mounts=request.mounts(parsed, ImageConfig()),
    )


def test_the_record_is_read_back_as_it_was() -> None:
    binds = {"Binds": ["v:/a:ro", "/h:/b"], "Tmpfs": {"/t": "size=1m"}, "AutoRemove": True}
    container = make(HostConfig=binds, Labels={"a": "b"}, OpenStdin=True, StopTimeout=3)
    container = container.with_state(container.state.started(7, "2026-01-01T00:00:01Z"))
    again = container_.from_record(json.loads(json.dumps(container.to_record())))
    assert again == container
    assert (again.network, again.auto_remove, again.read_only) == ("default", True, False)
    assert again.volumes == ("v",)
    assert again.labels == {"a": "b"}


@pytest.mark.parametrize("key", ["id", "process", "state", "mounts", "host_config"])
def test_a_record_that_lacks_something_is_broken(key: str) -> None:
    record = make().to_record()
    del record[key]
    with pytest.raises(KeyError):
        container_.from_record(record)
    record = make().to_record()
    del record["host_config"]["AutoRemove"]
    with pytest.raises(KeyError):
        container_.from_record(record)


def test_states() -> None:
    running = ContainerState().started(7, "t1")
    assert running.running
    ended = running.exited(3, "t2")
    assert ended == ContainerState(
        status=Status.EXITED, exit_code=3, started_at="t1", finished_at="t2"
    )
    again = ended.started(8, "t3")
    assert (again.exit_code, again.finished_at) == (0, container_.ZERO_TIME)


def test_what_never_ran_stays_created() -> None:
    failed = ContainerState().exited(127, "t", "no such program")
    assert failed == ContainerState(exit_code=127, error="no such program")
    later = ContainerState().started(1, "t1").exited(128, "t2", "no such driver")
    assert later.status is Status.EXITED
