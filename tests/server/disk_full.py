"""A process whose disk fills up while its API is asked: `python disk_full.py HUB`."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

import dfnb as df
from dfnb.client.keys import HubKeys
from dfnb.engine.clock import SystemClock
from dfnb.server.app import ManagementApp
from dfnb.server.settings import ServerSettings

_spec = importlib.util.spec_from_file_location("hub_disk_full", Path(__file__).parent.parent / "hub" / "disk_full.py")
assert _spec is not None
assert _spec.loader is not None
disk = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(disk)

BASE = "http://127.0.0.1:7071/runtime/webhooks/durabletask"
REQUESTS = {
    "start": ("POST", "/orchestrators/waiter"),
    "start with an id": ("POST", "/orchestrators/waiter/mine"),
    "event": ("POST", "/instances/waiting/raiseEvent/go"),
    "terminate": ("POST", "/instances/waiting/terminate"),
    "restart": ("POST", "/instances/waiting/restart"),
    "status": ("GET", "/instances/waiting"),
}


async def ask_all(app: df.DurableApp) -> dict[str, Any]:
    keys = HubKeys(app._hub)
    api = ManagementApp(app.client, keys, ServerSettings(), app.registry, SystemClock().now)
    transport, headers = httpx.ASGITransport(api), {"x-functions-key": keys.system}
    told = {}
    async with httpx.AsyncClient(transport=transport, headers=headers, base_url=BASE) as client:
        for name, (method, path) in REQUESTS.items():
            answer = await asyncio.wait_for(client.request(method, path, json=1 if method == "POST" else None), 20)
            told[name] = [answer.status_code, answer.headers.get("retry-after"), answer.text]
    return told


def main() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    app = df.DurableApp(sys.argv[1])
    HubKeys(app._hub)  # made while there is room
    waiting, _ = disk.fill(app, sys.argv[1])
    full = asyncio.run(ask_all(app))
    disk.make_room()
    disk.until(lambda: not app.state.problem)
    print(json.dumps({"full": full, "after": asyncio.run(ask_all(app)), "heard": waiting.wait(20).to_json()["runtimeStatus"]}))
    app.close()


if __name__ == "__main__":
    main()
