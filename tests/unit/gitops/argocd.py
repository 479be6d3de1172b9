"""Argo CD's side: its scripts run by the real Lua 5.1, in the sandbox in which Argo CD runs them.

Argo CD has gopher-lua, the same language version, and opens of its libraries only base, table and package,
with time and date of os. What it does not open is taken away here, methods of strings included.
"""

import json
import pathlib
from typing import Any

import lupa.lua51

ROOT = pathlib.Path(__file__).parents[3]
SCRIPTS = ROOT / "gitops/argocd/resource_customizations/assay.dev"
_CLOSED = ("string", "io", "os", "math", "debug", "coroutine", "python", "dofile", "loadfile")


def run(script: pathlib.Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return what `script` returns for `document`."""
    runtime = lupa.lua51.LuaRuntime(register_eval=False, register_builtins=False)
    runtime.execute('debug.setmetatable("", nil)')
    names = runtime.globals()
    for name in _CLOSED:
        names[name] = None
    names["obj"] = runtime.table_from(json.loads(json.dumps(document)), recursive=True)
    result = runtime.execute(script.read_text())
    plain: dict[str, Any] = _plain(result)
    return plain


def _plain(value: Any) -> Any:
    """Return a table as a list if its keys are 1, 2, 3, ..., else as a dictionary."""
    if lupa.lua51.lua_type(value) != "table":
        return int(value) if isinstance(value, float) and value.is_integer() else value
    found = {key: _plain(item) for key, item in value.items()}
    if found and list(found) == list(range(1, len(found) + 1)):
        return list(found.values())
    return found


def health(document: dict[str, Any]) -> tuple[str, str]:
    """Return the health of an object and what Argo CD shows with it."""
    found = run(SCRIPTS / document["kind"] / "health.lua", document)
    return found["status"], found.get("message", "")


def actions(document: dict[str, Any]) -> dict[str, bool]:
    """Return every action and whether it is offered."""
    found = run(SCRIPTS / document["kind"] / "actions/discovery.lua", document)
    return {name: not item["disabled"] for name, item in found.items()}


def act(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the object as the action leaves it."""
    return run(SCRIPTS / document["kind"] / "actions" / name / "action.lua", document)
