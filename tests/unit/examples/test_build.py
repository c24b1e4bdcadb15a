# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The recipe builder: everything but the packages themselves."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import ModuleType

import baselayer
import pytest
from baselayer import BuildError, Content

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "plugins"
FAULTY = ROOT / "agent" / "tests" / "system" / "plugins" / "faulty"
CONFIGS = [*sorted(EXAMPLES.glob("*/config*.json")), FAULTY / "config.json"]
TYPES = {
    "denylist": "docker.authz/1.0",
    "gauges": "docker.metricscollector/1.0",
    "linelog": "docker.logdriver/1.0",
    "localbridge": "docker.networkdriver/1.0",
    "localpool": "docker.ipamdriver/1.0",
}


def test_recipes_are_parsed(builder: ModuleType) -> None:
    recipe = builder.parse_recipe(
        Path("/r"), 'packages = ["p"]\nprograms = ["/bin/x"]\n[files]\n"/a/b" = "../c"\n'
    )
    assert recipe.base == Content(("p",), ("/bin/x",))
    assert recipe.files == (("a/b", Path("/r/../c")),)
    with pytest.raises(BuildError, match="unknown key 'package'"):
        builder.parse_recipe(Path("/r"), "package = []")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_configs_and_recipes_fit_together(builder: ModuleType, config: Path) -> None:
    recipe = builder.parse_recipe(config.parent, (config.parent / "recipe.toml").read_text())
    assert all(source.is_file() for dummy, source in recipe.files)
    document = json.loads(config.read_text())
    expected = TYPES.get(config.parent.name, "docker.volumedriver/1.0")
    assert document["interface"]["types"] == [expected]
    targets = {f"/{target}" for target, dummy in recipe.files}
    scripts = {word for word in document["entrypoint"] if word.endswith(".py")}
    assert scripts <= targets
    # Every module of a package is in the rootfs, also the one that was added yesterday.
    for package in config.parent.glob("*/__init__.py"):
        names = {
            f"/plugin/{package.parent.name}/{path.name}" for path in package.parent.glob("*.py")
        }
        assert names <= targets


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_imported_is_in_the_rootfs(builder: ModuleType, config: Path) -> None:
    recipe = builder.parse_recipe(config.parent, (config.parent / "recipe.toml").read_text())
    ours = {path.stem for path in (EXAMPLES / "common").glob("*.py")}
    ours |= {path.stem for path in config.parent.glob("*.py")}
    present = {Path(target).stem for target, dummy in recipe.files}
    wanted: set[str] = set()
    for _, source in recipe.files:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                wanted.add(node.module)
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
    assert wanted & ours <= present


def test_the_sshfs_plugin_asks_for_what_the_documentation_says() -> None:
    document = json.loads((EXAMPLES / "sshfs" / "config.json").read_text())
    assert document["description"] == "sshFS plugin for Docker"
    assert document["network"] == {"type": "host"}
    assert document["linux"]["capabilities"] == ["CAP_SYS_ADMIN"]
    assert document["interface"]["socket"] == "sshfs.sock"
    assert "mounts" not in document


def test_only_settings_about_the_way_to_a_mirror_are_taken_over() -> None:
    dump = (
        'APT::Architecture "amd64";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\n'
        'Acquire::Languages "de";\n'
        'Dir::Cache "/x";\n'
    )
    assert baselayer.apt_options(dump).splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_the_key_of_a_base_layer_knows_what_went_into_it() -> None:
    content = Content(("p",), ("/bin/x",))
    key = baselayer.base_key(content, [b"deb x"], "x86_64")
    assert key == baselayer.base_key(content, [b"deb x"], "x86_64")
    others = {
        baselayer.base_key(Content(("p", "q"), ("/bin/x",)), [b"deb x"], "x86_64"),
        baselayer.base_key(Content(("p",), ()), [b"deb x"], "x86_64"),
        baselayer.base_key(content, [b"deb y"], "x86_64"),
        baselayer.base_key(content, [b"deb x"], "aarch64"),
    }
    assert len(others | {key}) == 5


def test_libraries_out_of_the_linkers_list() -> None:
    listing = (
        "\tlinux-vdso.so.1 (0x00007ffc)\n"
        "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
        "\tstatically linked\n"
    )
    assert baselayer.linked_libraries(listing) == [
        "/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [("/lib/x/libm.so", "usr/lib/x/libm.so"), ("/usr/lib/x", "usr/lib/x"), ("/usr/bin/../../bin/sh", "usr/bin/sh"),
     ("/etc/passwd", "etc/passwd"), ("/../../etc/passwd", "etc/passwd")],
)  # fmt: skip
def test_one_spelling_for_every_path(path: str, name: str) -> None:
    assert baselayer.in_tree(path) == name


def test_links_are_followed_inside_the_tree(tmp_path: Path) -> None:
    tree, rootfs = tmp_path / "tree", tmp_path / "rootfs"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/real.so.1").write_text("x")
    (tree / "usr/lib/a.so").symlink_to("b.so")
    (tree / "usr/lib/b.so").symlink_to("/lib/real.so.1")
    baselayer.copy_entry(tree, rootfs, "usr/lib/a.so")
    assert sorted(path.name for path in (rootfs / "usr/lib").iterdir()) == [
        "a.so",
        "b.so",
        "real.so.1",
    ]
    assert (rootfs / "usr/lib/a.so").is_symlink()


def test_an_output_is_cleared_only_if_it_is_one_of_ours(
    builder: ModuleType, tmp_path: Path
) -> None:
    builder.clear_output(tmp_path / "new", replace=False)
    (tmp_path / "rootfs").mkdir()
    with pytest.raises(BuildError, match="not empty"):
        builder.clear_output(tmp_path, replace=False)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BuildError, match=r"more than config.json and rootfs"):
        builder.clear_output(tmp_path, replace=True)
    (tmp_path / "thesis.tex").unlink()
    builder.clear_output(tmp_path, replace=True)
    assert not tmp_path.exists()


def test_a_plugin_is_found_by_name_and_by_directory(builder: ModuleType) -> None:
    assert builder.find_plugin("localdir") == EXAMPLES / "localdir"
    assert builder.find_plugin(str(FAULTY)) == FAULTY
    with pytest.raises(BuildError, match="cannot find the plugin 'nothing'"):
        builder.find_plugin("nothing")


def test_layers_come_out_the_same(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def base(content: Content, rootfs: Path, *_: object) -> None:
        (rootfs / "usr").mkdir(parents=True)

    monkeypatch.setattr(builder, "obtain_base", base)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    directory = EXAMPLES / "localdir"
    recipe = builder.parse_recipe(directory, (directory / "recipe.toml").read_text())
    output = tmp_path / "out"
    builder.build(recipe, directory / "config.json", output, [], None)
    assert sorted(entry.name for entry in output.iterdir()) == ["config.json", "rootfs"]
    assert {path.lstat().st_mtime for path in (output / "rootfs").rglob("*")} == {0}
    assert (output / "rootfs/data").is_dir()
    assert (output / "rootfs/plugin/driver.py").read_bytes() == (
        directory / "driver.py"
    ).read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
