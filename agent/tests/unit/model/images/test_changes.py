# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.model.images import changes as image_changes

SHELL = ["/bin/sh", "-c"]


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ([], {}),
        (["", "# nothing"], {}),
        (['CMD ["a", "b"]'], {"Cmd": ["a", "b"]}),
        (["cmd a b"], {"Cmd": [*SHELL, "a b"]}),
        (["CMD [a"], {"Cmd": [*SHELL, "[a"]}),
        (["CMD [1]"], {"Cmd": [*SHELL, "[1]"]}),
        (["CMD echo $A"], {"Cmd": [*SHELL, "echo $A"]}),
        (['ENTRYPOINT ["e"]', "CMD c"], {"Entrypoint": ["e"], "Cmd": [*SHELL, "c"]}),
        (["ENV A=1 B=\"x y\" C='z'"], {"Env": ["A=1", "B=x y", "C=z"]}),
        (["ENV A x y", "ENV B=1\nENV A=2"], {"Env": ["B=1", "A=2"]}),
        (["ENV A="], {"Env": ["A="]}),
        (["LABEL a=b c.d='e f'", "LABEL a=2"], {"Labels": {"a": "2", "c.d": "e f"}}),
        (["WORKDIR /a", "WORKDIR b/../c"], {"WorkingDir": "/a/c"}),
        (["WORKDIR //x/../.."], {"WorkingDir": "/"}),
        (["USER 1:2"], {"User": "1:2"}),
        (["STOPSIGNAL SIGINT"], {"StopSignal": "SIGINT"}),
        (
            ["EXPOSE 80 53/UDP 8-9/tcp"],
            {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8/tcp": {}, "9/tcp": {}}},
        ),
        (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
        (['VOLUME ["/a b"]'], {"Volumes": {"/a b": {}}}),
    ],
)
def test_instructions(changes: list[str], config: dict[str, Any]) -> None:
    assert image_changes.apply(changes) == config


@pytest.mark.parametrize(
    ("change", "kind", "why"),
    [
        ("FROM x", errors.InvalidParameter, "FROM is not a valid change command"),
        ("run x", errors.InvalidParameter, "RUN is not a valid change command"),
        ("ONBUILD RUN x", errors.Unsupported, "change command ONBUILD is not supported"),
        ("HEALTHCHECK NONE", errors.Unsupported, "change command HEALTHCHECK is not supported"),
        ("ENV A=$B", errors.Unsupported, "variables in change command ENV are not supported"),
        ("CMD", errors.InvalidParameter, "CMD requires at least one argument"),
        ("ENV A", errors.InvalidParameter, "ENV must have two arguments"),
        ("ENV A=1 B", errors.InvalidParameter, "ENV names can not be blank"),
        ("ENV =1", errors.InvalidParameter, "ENV names can not be blank"),
        ("LABEL a='", errors.InvalidParameter, "cannot read change command LABEL"),
        ("USER a b", errors.InvalidParameter, "USER requires exactly one argument"),
        ("WORKDIR a b", errors.InvalidParameter, "WORKDIR requires exactly one argument"),
        ("EXPOSE 0", errors.InvalidParameter, "invalid containerPort: 0"),
        ("EXPOSE 9-8", errors.InvalidParameter, "invalid containerPort: 9-8"),
        ("EXPOSE 70000", errors.InvalidParameter, "invalid containerPort: 70000"),
        ("EXPOSE http", errors.InvalidParameter, "invalid containerPort: http"),
    ],
)
def test_what_is_refused(change: str, kind: type[errors.PlugindError], why: str) -> None:
    with pytest.raises(kind) as caught:
        image_changes.apply([change])
    assert str(caught.value).startswith(why)
