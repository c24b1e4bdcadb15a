#!/usr/bin/env bash
# ansible-test on the collection as users get it: the built tarball, unpacked where ansible-test wants it.
#
#   scripts/ansible_test.sh sanity [ARGUMENT...]     on every Python that this machine has, unless arguments say otherwise
#   scripts/ansible_test.sh units [ARGUMENT...]      the tests of what is under plugins/
#
# ANSIBLE=/path/to/venv     the ansible-core to do it with; .venv if nothing is said
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
BUILD=$ROOT/.build
ANSIBLE=${ANSIBLE:-$ROOT/.venv}
command=$1
shift
WORK=$BUILD/ansible-test/$command-$(basename "$ANSIBLE")
TREE=$WORK/ansible_collections/plugind/engine

rm -rf "$WORK"
mkdir -p "$TREE/tests/unit" "$WORK/bin" "$WORK/dist"

"$ROOT/.venv/bin/python" scripts/build_collection.py "$WORK/dist" >/dev/null
tar -xzf "$WORK"/dist/*.tar.gz -C "$TREE"
# Part of the check, not of the product. The other tests of tests/unit need the agent or the repository, and pytest
# runs them without ansible-test; what they are written like is ruff's business.
cp -a tests/config.yml tests/sanity "$TREE/tests/"
cp -a tests/unit/plugins tests/unit/requirements.txt "$TREE/tests/unit/"
if [ "$command" = units ]; then
    # These need the agent's helpers.
    grep -rlZ '^from support' "$TREE/tests/unit/plugins" | xargs -0r rm
fi

# ansible-test asks the nearest git repository which files there are; without this one that is ours, which ignores .build.
git init --quiet "$TREE"

# A version manager's shims for Pythons that are not chosen exit with an error, which ansible-test takes for a failure.
# The real programs, first on PATH, hide them.
for version in 3.8 3.9 3.10 3.11 3.12 3.13 3.14; do
    for candidate in /usr/bin/python$version "$HOME"/.pyenv/versions/$version.*/bin/python$version; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            ln -sf "$candidate" "$WORK/bin/python$version"
            break
        fi
    done
done

# ansible-core 2.19 fetches its get-pip.py once per release of its own and keeps it here.
cache=$HOME/.ansible/test/cache
mkdir -p "$cache"
for name in get_pip_24_2.py get_pip_25_2.py; do
    if [ ! -e "$cache/$name" ]; then cp "$ROOT/scripts/get_pip.py" "$cache/$name"; fi
done

cd "$TREE"
export PATH=$WORK/bin:$ANSIBLE/bin:$PATH
unset ANSIBLE_COLLECTIONS_PATH ANSIBLE_HOME PYTHONDONTWRITEBYTECODE
exec "$ANSIBLE/bin/ansible-test" "$command" --color no "$@"
