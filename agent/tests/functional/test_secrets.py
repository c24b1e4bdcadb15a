# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Secrets of volumes and of settings: to the plugin, and neither to the disk nor to an answer."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from plugind import checkpoint, errors
from plugind.engine import logs, lookup
from plugind.engine.declaration import apply
from plugind.engine.plugin import configure, enable, rpc_call
from plugind.engine.volume import mounting, volumes
from plugind.model.plugin import Plugin
from plugind.model.secrets import MASK
from support import content, invariants
from support.engine import World

OPTIONS = {"password": "hunter2-word", "host": "h", "sesame": "open-me-now", "named": "told-so-1"}
LABELS = {
    "engine.plugind.secret-options": "sesame",
    "engine.plugind.secret-settings": "PLUGIN_DATA2, args",
}
ENV = [
    content.env("PLUGIN_BEHAVIOUR"), content.env("PLUGIN_OUTPUT"), content.env("API_TOKEN"),
    content.env("PLUGIN_DATA2"), content.env("NAMED"), content.env("DEBUG"),
]  # fmt: skip
ARGS = {"name": "args", "settable": ["value"], "value": []}
SECRETS = ("hunter2-word", "open-me-now", "told-so-1", "env-secret", "label-secret", "arg-secret")


@pytest.fixture
async def toy(world: World) -> Plugin:
    """A running plugin whose labels name secrets."""
    return await world.running(labels=LABELS, env=ENV, args=ARGS)


async def make(world: World, name: str = "v", **more: Any) -> dict[str, Any]:
    arguments = {"driver": "toy", "options": OPTIONS, "labels": None, **more}
    named = frozenset({"named"})
    return await volumes.create_volume(world.engine, name=name, secret_options=named, **arguments)


def written(world: World) -> str:
    """Everything that is on disk, of the engine and of its logs."""
    roots = (world.layout.root, world.layout.logs, world.layout.run)
    files = [path for root in roots if root.exists() for path in root.rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def assert_clean(text: object, secrets: tuple[str, ...] = SECRETS) -> None:
    shown = text if isinstance(text, str) else json.dumps(text, default=str)
    assert [secret for secret in secrets if secret in shown] == []


# ----------------------------------------------------------------------------------------- volumes


async def test_options_reach_the_plugin_and_nothing_else(world: World, toy: Plugin) -> None:
    created = await make(world)
    assert world.host.calls(toy.id)[-1] == ("VolumeDriver.Create", {"Name": "v", "Opts": OPTIONS})
    shown = {"password": MASK, "host": "h", "sesame": MASK, "named": MASK}
    assert created["Options"] == shown
    inspected = await volumes.inspect_volume(world.engine, "v")
    assert inspected["Options"] == shown
    # The driver itself shows what it was given.
    assert inspected["Status"] == {"options": shown}
    listed, warnings = await volumes.list_volumes(world.engine)
    assert listed[0]["Options"] == shown
    assert_clean([created, inspected, listed, warnings, repr(world.engine.volumes)])
    assert_clean(written(world))
    record = invariants.load_volumes(world.layout.root)["v"]
    assert sorted(record["secret_digests"]) == ["named", "password", "sesame"]
    assert all(kept.startswith("hmac-sha256:") for kept in record["secret_digests"].values())


async def test_after_a_restart_a_secret_is_recognised_by_its_digest(
    world: World, toy: Plugin
) -> None:
    await make(world)
    await world.reopen()
    assert "hunter2-word" not in repr(world.engine.known)
    assert_clean(await volumes.inspect_volume(world.engine, "v"))
    world.host.behave(toy.id, "fail=VolumeDriver.Mount:cannot log in with (hunter2-word), sorry")
    with pytest.raises(errors.System) as caught:
        await mounting.mount_volume(world.engine, "v", "web")
    assert str(caught.value) == f"cannot mount volume v: cannot log in with ({MASK}), sorry"


@pytest.mark.parametrize("method", ["Create", "Mount", "Remove", "Get", "Unmount"])
async def test_errors_of_the_driver_are_gone_through(
    world: World, toy: Plugin, method: str
) -> None:
    if method != "Create":
        await make(world)
    if method == "Unmount":
        await mounting.mount_volume(world.engine, "v", "web")
    world.host.behave(toy.id, f"fail=VolumeDriver.{method}:no, hunter2-word is open-me-now")
    story = {
        "Create": lambda: make(world),
        "Mount": lambda: mounting.mount_volume(world.engine, "v", "web"),
        "Remove": lambda: volumes.remove_volume(world.engine, "v", force=False),
        "Get": lambda: volumes.inspect_volume(world.engine, "v"),
        "Unmount": lambda: mounting.unmount_volume(world.engine, "v", "web"),
    }[method]
    with pytest.raises(errors.PlugindError) as caught:
        await story()
    assert str(caught.value).endswith(f"no, {MASK} is {MASK}")
    assert_clean(caught.value.args)


async def test_a_mask_is_not_a_value(world: World, toy: Plugin) -> None:
    with pytest.raises(errors.InvalidParameter, match=r'option "password" is \*{8}, which is how'):
        await make(world, options={"password": MASK})
    with pytest.raises(errors.InvalidParameter, match='option "o"'):
        await make(world, driver="local", options={"o": f"user=u,password={MASK}"})
    assert invariants.load_volumes(world.layout.root) == {}


async def test_a_label_of_the_volume_names_secrets(world: World, toy: Plugin) -> None:
    labels = {"engine.plugind.secret-options": "host"}
    created = await volumes.create_volume(
        world.engine, name="v", driver="toy", options={"host": "h-1234"}, labels=labels
    )
    assert created["Options"] == {"host": MASK}
    assert "h-1234" not in written(world)


async def test_equal_secrets_do_not_look_equal(world: World, toy: Plugin) -> None:
    await make(world, "one")
    await make(world, "two")
    records = invariants.load_volumes(world.layout.root)
    digests = [r["secret_digests"]["password"] for r in records.values()]
    assert len(set(digests)) == 2


# ------------------------------------------------------------------------------------------- local


async def test_the_local_driver_remembers_and_does_not_show(world: World) -> None:
    options = {"type": "cifs", "device": "//h/s", "o": "addr=h,username=u,password=hunter2-word"}
    created = await volumes.create_volume(
        world.engine, name="ab", driver="local", options=options, labels=None
    )
    assert created["Options"]["o"] == f"addr=h,username=u,password={MASK}"
    directory = world.layout.volume_dir("ab")
    private = [path for path in directory.iterdir() if "hunter2-word" in _text(path)]
    assert [path.name for path in private] == ["options.json"]
    assert stat.S_IMODE(private[0].stat().st_mode) == 0o600
    await world.reopen()
    await mounting.mount_volume(world.engine, "ab", "web")
    assert world.machine.mounts[world.engine.volume_store.data_dir("ab")] == options
    await mounting.unmount_volume(world.engine, "ab", "web")
    world.machine.refuse_mounts = "cannot run mount: mount -o addr=h,password=hunter2-word failed"
    with pytest.raises(errors.System) as caught:
        await mounting.mount_volume(world.engine, "ab", "web")
    assert_clean(str(caught.value))


async def test_a_local_volume_without_secrets_has_no_second_file(world: World) -> None:
    options = {"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1"}
    await volumes.create_volume(
        world.engine, name="ab", driver="local", options=options, labels=None
    )
    assert sorted(p.name for p in world.layout.volume_dir("ab").iterdir()) == [
        "_data",
        "volume.json",
    ]


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


# --------------------------------------------------------------------------------- records of 0.1


def write_old_record(world: World, name: str, driver: str, options: dict[str, str]) -> None:
    """Turn a volume's record into one of 0.1, with its options in clear."""
    path = world.layout.volume_dir(name) / "volume.json"
    record = json.loads(path.read_bytes())
    del record["secret_digests"]
    path.write_text(json.dumps({**record, "options": options}))


async def test_old_records_are_sealed_at_boot(world: World, toy: Plugin) -> None:
    await make(world, options={"host": "h"})
    write_old_record(world, "v", "toy:latest", OPTIONS)
    await world.reopen()
    assert_clean(written(world), ("hunter2-word", "open-me-now"))
    # What nobody but a caller can know to be a secret is still there, until a declaration says it.
    assert world.engine.volumes["v"].options == {**OPTIONS, "password": MASK, "sesame": MASK}
    volume = {"name": "v", "driver": "toy", "options": OPTIONS, "secret_options": ["named"]}
    done = await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    assert (done["changed"], done["failed"]) == (False, False), done
    assert_clean(written(world))
    other = {**volume, "options": {**OPTIONS, "password": "other-word"}}
    refused = await apply.apply(world.engine, {"volumes": [other]}, dry_run=True)
    assert "created with other options (password)" in refused["msg"]


@pytest.mark.parametrize("seen", [1, 2])
async def test_sealing_an_old_local_record_survives_a_crash(
    world: World, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    options = {"type": "cifs", "device": "//h/s", "o": "password=hunter2-word"}
    await volumes.create_volume(world.engine, name="ab", driver="local", options=None, labels=None)
    write_old_record(world, "ab", "local", options)

    def crash(point: str) -> None:
        if point == "volume-seal:after-options":
            raise KeyboardInterrupt

    await world.drop()
    monkeypatch.setattr(checkpoint, "hook", crash)
    for _ in range(seen):
        with pytest.raises(KeyboardInterrupt):
            await world.open()
    monkeypatch.setattr(checkpoint, "hook", None)
    await world.open()
    record = (world.layout.volume_dir("ab") / "volume.json").read_text()
    assert "hunter2-word" not in record
    await mounting.mount_volume(world.engine, "ab", "web")
    assert world.machine.mounts[world.engine.volume_store.data_dir("ab")] == options


# ------------------------------------------------------------------------------------------- drift


async def test_drift_is_seen_by_digest(world: World, toy: Plugin) -> None:
    volume = {"name": "v", "driver": "toy", "options": OPTIONS, "secret_options": ["named"]}
    done = await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    assert done["changed"], done
    assert done["secrets"] == {"volume/v": ["named", "password", "sesame"]}
    await world.reopen()
    again = await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    assert (again["changed"], again["msg"]) == (False, "nothing to do")
    changed = {**volume, "options": {**OPTIONS, "sesame": "another-one"}}
    refused = await apply.apply(world.engine, {"volumes": [changed]}, dry_run=False)
    assert refused["failed"]
    assert "it was created with other options (sesame)" in refused["msg"]
    changed["recreate"] = "options-changed"
    done = await apply.apply(world.engine, {"volumes": [changed]}, dry_run=False)
    before, after = (done["diff"][side]["volume/v"]["options"] for side in ("before", "after"))
    assert (before["sesame"], after["sesame"]) == (MASK, f"{MASK} (changed)")
    assert (before["password"], after["password"]) == (MASK, MASK)
    assert_clean([done, again, refused], (*SECRETS, "another-one"))
    assert world.host.calls(toy.id)[-2][1]["Opts"]["sesame"] == "another-one"


async def test_a_lost_key_is_an_error_and_no_difference(world: World, toy: Plugin) -> None:
    volume = {"name": "v", "driver": "toy", "options": OPTIONS, "recreate": "options-changed"}
    await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    world.layout.secret_key.unlink()
    await world.reopen()
    with pytest.raises(errors.System, match=r"was made with another secret\.key"):
        await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    assert "v" in world.engine.volumes


async def test_the_key_is_made_once_and_closed_to_others(world: World) -> None:
    path = world.layout.secret_key
    key = path.read_bytes()
    assert (len(key), stat.S_IMODE(path.stat().st_mode)) == (32, 0o600)
    path.chmod(0o644)
    await world.reopen()
    assert path.read_bytes() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    await world.reopen()
    assert len(path.read_bytes()) == 32
    assert [p.read_bytes() for p in world.layout.quarantine.iterdir()] == [b"short"]


# ---------------------------------------------------------------------------------------- settings


async def set_up(world: World, plugin: Plugin, *more: str) -> None:
    await enable.disable(world.engine, "toy", force=True)
    await configure.configure(
        world.engine,
        "toy",
        ["API_TOKEN=env-secret", "PLUGIN_DATA2=label-secret", "args=--x arg-secret", *more],
    )


async def test_settings_are_masked_and_kept_for_the_plugin(world: World, toy: Plugin) -> None:
    await set_up(world, toy, "DEBUG=1")
    plugin = lookup.find(world.engine, "toy")
    shown = plugin.to_json()["Settings"]
    assert f"API_TOKEN={MASK}" in shown["Env"]
    assert f"PLUGIN_DATA2={MASK}" in shown["Env"]
    assert "DEBUG=1" in shown["Env"]
    assert shown["Args"] == [MASK, MASK]
    assert plugin.to_native_json()["SecretSettings"] == ["PLUGIN_DATA2", "args"]
    assert_clean([plugin.to_json(), plugin.to_native_json(), repr(plugin)])
    assert "API_TOKEN=env-secret" in plugin.to_native_json(clear=True)["Settings"]["Env"]
    record = world.layout.plugin_record(toy.id)
    assert "env-secret" in record.read_text()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700


async def test_a_masked_value_means_that_nothing_changes(world: World, toy: Plugin) -> None:
    await set_up(world, toy)
    await configure.configure(world.engine, "toy", [f"API_TOKEN={MASK}", f"args={MASK} {MASK}"])
    plugin = lookup.find(world.engine, "toy")
    assert "API_TOKEN=env-secret" in plugin.settings.env
    assert plugin.settings.args == ("--x", "arg-secret")
    with pytest.raises(errors.InvalidParameter, match=r'cannot set "args": \*+ is how'):
        await configure.configure(world.engine, "toy", [f"args={MASK}"])
    await configure.configure(world.engine, "toy", ["API_TOKEN="])
    with pytest.raises(errors.InvalidParameter, match="set the value itself"):
        await configure.configure(world.engine, "toy", [f"API_TOKEN={MASK}"])


async def test_last_words_and_output_are_gone_through(world: World, toy: Plugin) -> None:
    output = "PLUGIN_OUTPUT=token is env-secret|!password=hunter2-else"
    await set_up(world, toy, output, "PLUGIN_BEHAVIOUR=exit=3")
    with pytest.raises(errors.PluginFailed) as caught:
        await enable.enable(world.engine, "toy", timeout=0)
    assert f"token is {MASK}\n  password={MASK}" in str(caught.value)
    lines = [line async for line in logs.read(world.engine, "toy", tail=None, follow=False)]
    assert_clean(b"".join(lines).decode(), (*SECRETS, "hunter2-else"))


async def test_raw_calls_are_answered_without_secrets(world: World, toy: Plugin) -> None:
    await make(world)
    await world.reopen()
    answer = await rpc_call.call(world.engine, "toy", "VolumeDriver.List", {})
    assert answer["Volumes"][0]["Status"]["options"]["host"] == "h"
    assert_clean(answer)
    world.host.behave(toy.id, "fail=VolumeDriver.Path:it is hunter2-word")
    with pytest.raises(errors.System, match=r"it is \*{8}"):
        await rpc_call.call(world.engine, "toy", "VolumeDriver.Path", {"Name": "v"})


async def test_a_declaration_names_secret_settings_for_good(world: World, toy: Plugin) -> None:
    declared = {
        "name": "toy",
        "settings": {"env": {"NAMED": "told-so-1", "API_TOKEN": "env-secret"}},
        "secret_settings": ["NAMED"],
        "force": True,
    }
    done = await apply.apply(world.engine, {"plugins": [declared]}, dry_run=False)
    assert (done["changed"], done["failed"]) == (True, False), done
    assert done["secrets"] == {"plugin/toy:latest": ["API_TOKEN", "NAMED"]}
    again = await apply.apply(world.engine, {"plugins": [declared]}, dry_run=False)
    assert not again["changed"]
    await world.reopen()
    plugin = lookup.find(world.engine, "toy")
    assert f"NAMED={MASK}" in plugin.to_json()["Settings"]["Env"]
    queried = await apply.query(world.engine, {"plugins": None, "volumes": None})
    assert_clean([done, again, queried, plugin.to_json()])
    assert world.engine.redact("env-secret told-so-1") == f"{MASK} {MASK}"


async def test_settings_that_were_there_can_be_named_later(world: World, toy: Plugin) -> None:
    await enable.disable(world.engine, "toy", force=False)
    await configure.configure(world.engine, "toy", ["NAMED=told-so-1"])
    await enable.enable(world.engine, "toy", timeout=0)
    declared = {"name": "toy", "secret_settings": ["NAMED"]}
    done = await apply.apply(world.engine, {"plugins": [declared]}, dry_run=False)
    assert not done["failed"]
    assert f"NAMED={MASK}" in lookup.find(world.engine, "toy").to_json()["Settings"]["Env"]
    assert world.engine.redact("told-so-1") == MASK


async def test_a_failed_apply_says_nothing_secret(world: World, toy: Plugin) -> None:
    world.host.behave(toy.id, "fail=VolumeDriver.Create:got hunter2-word and open-me-now")
    volume = {"name": "v", "driver": "toy", "options": OPTIONS}
    done = await apply.apply(world.engine, {"volumes": [volume]}, dry_run=False)
    assert done["failed"]
    assert f"got {MASK} and {MASK}" in done["msg"]
    assert_clean(done, ("hunter2-word", "open-me-now"))


async def test_output_is_written_over_where_conmon_put_it(world: World, toy: Plugin) -> None:
    output = "PLUGIN_OUTPUT=one env-secret|\u00e4 password=hunter2-else end|clean"
    await set_up(world, toy, output)
    await enable.enable(world.engine, "toy", timeout=0)
    await enable.disable(world.engine, "toy", force=True)
    kept = world.engine.log_path(toy.id).read_text()
    assert_clean(kept, (*SECRETS, "hunter2-else"))
    texts = [logs.parse_line(line)[2] for line in kept.encode().splitlines()][-3:]
    assert texts == ["one **********", "\u00e4 password=************ end", "clean"]
    await world.reopen()
    lines = [line async for line in logs.read(world.engine, "toy", tail=3, follow=False)]
    shown = [logs.parse_line(line.rstrip(b"\n"))[2] for line in lines]
    assert shown == [f"one {MASK}", f"\u00e4 password={MASK} end", "clean"]
