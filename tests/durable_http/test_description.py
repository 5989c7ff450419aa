from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dfnb.durable_http.description import Poll
from dfnb.durable_http.dialects import DIALECTS, dialect_named
from dfnb.durable_http.retry_after import Pace
from dfnb.errors import DefinitionError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"locat": "header:Location"}, "did you mean 'locate'?"),
        ({"zebra": 1}, "known are: locate"),
        ({"locate": "Location"}, "did you mean 'header:Location'?"),
        ({"locate": ()}, "`locate` must say"),
        ({"locate": "{urll}/x"}, "did you mean {url}?"),
        ({"status": "a..b", "ok": "x"}, "in `status`, 'a..b' is no path"),
        ({"status": "status"}, "no word in `ok`"),
        ({"ok": "done"}, "`status` does not say where"),
        ({"status": "s", "ok": "Done", "fail": ("error", "DONE")}, "the word 'done' stands in both `ok` and `fail`"),
        ({"status": "s", "ok": ("x", 5)}, "`ok` must be a text"),
        ({"cancel": "{status}"}, "like 'DELETE {status}'"),
        ({"cancel": "REMOVE {status}"}, "like 'DELETE {status}'"),
        ({"start": 5}, "`start` must be a text"),
        ({"accepted": "202"}, "`accepted` must be HTTP statuses"),
        ({"pending": (99,)}, "from 100 to 599"),
        ({"absent": "runing"}, "did you mean 'running'?"),
        ({"auth": "always"}, "`auth` must be one of 'origin', 'never'"),
        ({"origins": "api.example"}, "write it like 'https://api.example'"),
        ({"floor": 9, "cap": 3}, "floor (9 s) must not be greater than cap (3 s)"),
        ({"every": -1}, "every must be a number of seconds"),
        ({"tries": 0}, "`tries` must be a whole number"),
        ({"grace": -1}, "`grace` must be"),
        ({"cancels": "yes"}, "`cancels` must be True or False"),
    ],
)
def test_a_wrong_description_fails_at_once_with_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Poll(**wrong)
    assert said in str(caught.value)


def test_one_text_is_as_good_as_several() -> None:
    assert Poll(status="s", ok="done", accepted=202) == Poll(status=("s",), ok=("done",), accepted=(202,))  # type: ignore[arg-type]
    assert Poll(status="body:s", ok="done").status == ("s",)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_survives_being_written_down(name: str) -> None:
    poll = dialect_named(name)
    assert msgspec.json.decode(msgspec.json.encode(poll), type=Poll) == poll


def test_a_dialect_can_be_changed_a_little() -> None:
    changed = Poll.like("fhir-bulk", cancels=True, every=60)
    assert (changed.cancels, changed.every, changed.locate) == (True, 60, DIALECTS["fhir-bulk"].locate)
    assert Poll.like(changed, every=5).cancels
    with pytest.raises(DefinitionError, match="did you mean 'cancels'"):
        Poll.like("fhir-bulk", cancles=True)


def test_an_unknown_dialect_gets_the_nearest_names() -> None:
    with pytest.raises(DefinitionError, match="did you mean 'azure-arm'"):
        dialect_named("azur-arm")
    with pytest.raises(DefinitionError, match="known are: location"):
        Poll.like("zebra")


def test_built_in_dialects_send_a_cancel_request_only_when_asked() -> None:
    assert not any(poll.cancels for poll in DIALECTS.values())
    assert Poll(cancel="DELETE {status}").cancels


def test_the_pace_of_a_description_goes_before_the_one_of_the_app() -> None:
    app = Pace(every=30, floor=2, cap=600, jitter=0.1)
    assert Poll().paced(app) is app
    assert Poll(every=5).paced(app) == Pace(every=5, floor=2, cap=600, jitter=0.1)
    assert Poll(floor=900).paced(app) == Pace(every=30, floor=900, cap=900, jitter=0.1)
    assert Poll(cap=1).paced(app) == Pace(every=30, floor=1, cap=1, jitter=0.1)
