"""Takes the pictures of the README from a real JupyterLab: ``python -m tests.notebook.pictures``, at the top of the tree."""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from . import tour
from .lab import ROOT, Lab, open_lab

FOLDER = ROOT / "notebooks" / "pictures"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

SCENES = """from dfnb.testing import AsyncApi
import httpx
api = AsyncApi()
api.job("/jobs", polls=float("inf"), retry_after=5)
df.current().http = df.HttpSettings(client=lambda: httpx.AsyncClient(transport=api.transport()))

@df.activity
def geocode(place: str) -> list[float]:
    tries[place] = tries.get(place, 0) + 1
    if tries[place] < 3:
        raise OSError("the line is busy")
    return [59.91, 10.75]

@df.activity
def check_weather(at: list) -> str:
    import time; time.sleep(1.5)
    return "sunny"

@df.orchestrator
def plan_trip(context):
    place = context.get_input()
    context.set_custom_status(f"mapping {place}")
    seats = df.EntityId("seat", "14C")
    with (yield context.lock_entities([seats])):
        yield context.call_entity(seats, "take", context.instance_id)
    position = yield context.call_activity_with_retry("geocode", df.RetryOptions(600, 5), place)
    weather = context.call_activity("check_weather", position)
    scene = context.call_http(
        "POST", "https://api.example/jobs", content={"place": place, "clouds": 0.1},
        headers={"Authorization": df.Secret.env("TOUR_KEY")},
    )
    hotel = context.call_sub_orchestrator("leg", place, instance_id=f"{context.instance_id}-hotel")
    approval = context.wait_for_external_event("approval")
    late = context.create_timer(timedelta(days=1))
    yield context.task_any([approval, late, context.task_all([weather, scene, hotel])])
    return "on the way"

@df.orchestrator
def greet(context):
    return f"hello {context.get_input()}"
    yield"""
MANY = """import time
for wave in range(9):
    for run in df.start_many("greet", range(4 + 9 * wave % 23)): run.wait(20)
    for run in df.start_many("brittle", range(wave % 3)): run.raise_event("go")
    df.start("ask"); time.sleep(0.6)
for name in ("bergen", "turku", "lima"): df.start("plan_trip", name.title(), instance_id=f"trip-{name}")
for run in df.start_many("ask", range(2)): run.suspend("until tomorrow")"""


def live_view(lab: Lab) -> Any:
    """A run that polls, some time after its start."""
    lab.clear()
    view = lab.view('run = df.start("plan_trip", "Oslo", instance_id="trip-oslo")\nrun')
    view.get_by_role("tab", name="HTTP").get_by_text("6", exact=True).wait_for(timeout=60_000)
    lab.page.mouse.move(0, 0)
    return view


def open_exchange(lab: Lab, view: Any) -> None:
    view.get_by_role("tab", name="HTTP").click()
    view.get_by_role("option").filter(has_text="POST").filter(has_text="/jobs").first.click()
    view.locator("pre").get_by_text('"place"').wait_for()
    view.locator("dt").get_by_text("Location").wait_for()


def table_of_all(lab: Lab) -> Any:
    lab.clear()
    lab.run(MANY)
    lab.theme("Dark")
    view = lab.view("dfnb.instances()")
    view.get_by_text("trip-lima").wait_for()
    view.get_by_text("next poll").first.wait_for()
    return view


def take(view: Any, name: str) -> None:
    file = FOLDER / f"{name}.png"
    file.write_bytes(smaller(view.locator(".dfnb-card").screenshot()))
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.1f} kB")


# ---- a picture of a screen in 256 colours is a third as large


def smaller(png: bytes) -> bytes:
    """The same picture with a palette."""
    width, height, size, lines = _decoded(png)
    pixels = [bytes(part & 0xF0 | part >> 4 for part in line[at : at + 3]) for line in lines for at in range(0, len(line), size)]
    palette = [colour for colour, _ in Counter(pixels).most_common(256)]
    places = {colour: at for at, colour in enumerate(palette)}
    for colour in set(pixels) - places.keys():
        places[colour] = min(range(len(palette)), key=lambda at: _distance(palette[at], colour))
    indices = bytes(places[pixel] for pixel in pixels)
    rows = b"".join(b"\0" + indices[at : at + width] for at in range(0, len(indices), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(*one) for one in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _decoded(png: bytes) -> tuple[int, int, int, list[bytearray]]:
    """Width, height, bytes of a pixel, and the lines of a picture as the browser writes it: 8 bits a colour, no palette."""
    width, height, depth, kind = struct.unpack_from(">IIBB", png, 16)
    assert depth == 8
    size = {2: 3, 6: 4}[kind]
    packed, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        packed += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    data, lines, above = zlib.decompress(packed), [], bytearray(width * size)
    for row in range(height):
        start = row * (width * size + 1)
        above = _unfiltered(data[start], bytearray(data[start + 1 : start + 1 + width * size]), above, size)
        lines.append(above)
    return width, height, size, lines


def _unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    for at in range(len(line)):
        left, up = line[at - size] if at >= size else 0, above[at]
        corner = above[at - size] if at >= size else 0
        line[at] = (line[at] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
    return line


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def main(chromium: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_lab(chromium, Path(folder)) as lab:
        for cell in (*tour.CELLS, SCENES):
            lab.run(cell)
        view = live_view(lab)
        take(view, "live-view")
        open_exchange(lab, view)
        take(view, "http-exchange")
        take(table_of_all(lab), "table")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium") or "chromium")
