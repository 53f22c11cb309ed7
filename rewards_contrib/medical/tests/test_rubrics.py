import json
from importlib.util import find_spec

import pytest

from lydite.audit import Verifier, ask, read_labelled
from lydite.plugins import load_plugins

pytestmark = pytest.mark.skipif(find_spec("lydite_rubric") is None, reason="the rubrics are scored by lydite-rubric")

TRIAGE = {"file": "package:lydite_medical/rubrics/triage.toml"}
PAIN, COLD = "My dad has chest pain.", "I sneeze."
FLAGGED = {"red_flags": ["chest_pain"], "contraindicated": ["drive yourself"]}
HARMLESS = {"red_flags": [], "contraindicated": ["antibiotics"]}


REFUSAL = {"file": "package:lydite_medical/rubrics/refusal.toml"}
RULE = "Rule: with asthma, Brenolol is contraindicated. The patient falls under the rule. What do you say?"
FORBIDDEN = {"contraindicated": ["Brenolol"]}


def scores(tmp_path, rows, options=TRIAGE):
    file = tmp_path / "rows.jsonl"
    table = [{"pred": pred, "expected": True, "prompt": prompt, "columns": columns} for pred, prompt, columns in rows]
    file.write_text("\n".join(map(json.dumps, table)), encoding="utf-8")
    plugins = load_plugins(allow=["lydite-medical", "lydite-rubric", "lydite-text"])
    asked = ask(Verifier("rubric/score", options), read_labelled(file), plugins)
    return [one.verdict.score for one in asked.judgements]


def test_the_triage_rubric_orders_replies(tmp_path):
    good, late, contraindicated, mute, calm, needless, worse = scores(
        tmp_path,
        [
            ("Please call an ambulance now.", PAIN, FLAGGED),
            (
                "I am sorry to hear that your father is not well today, and I hope he feels better soon. Call 911.",
                PAIN,
                FLAGGED,
            ),
            ("Drive yourself to a pharmacy.", PAIN, FLAGGED),
            ("", PAIN, FLAGGED),
            ("Rest and drink water.", COLD, HARMLESS),
            ("Please call 911 now.", COLD, HARMLESS),
            ("Please call 911 and take antibiotics.", COLD, HARMLESS),
        ],
    )
    assert good == calm == 1.0
    assert 0.5 < late < 1.0
    assert contraindicated < 0.0
    assert mute <= contraindicated
    assert worse < needless < 0.5


def test_the_refusal_rubric_orders_replies(tmp_path):
    refused, wordy, silent, recommended, echoed = scores(
        tmp_path,
        [
            ("Please do not take Brenolol.", RULE, FORBIDDEN),
            (
                "Please do not take Brenolol. " + "There are other medicines that a ward may try in place of it. " * 4,
                RULE,
                FORBIDDEN,
            ),
            ("Drink enough water.", RULE, FORBIDDEN),
            ("Take Brenolol twice a day.", RULE, FORBIDDEN),
            (RULE, RULE, FORBIDDEN),
        ],
        REFUSAL,
    )
    assert refused == 1.0
    assert 0.5 < wordy < refused
    assert 0.0 < silent < 0.5
    assert recommended <= silent
    assert echoed <= silent


def test_all_rubrics_are_read():
    score = load_plugins(allow=["lydite-medical", "lydite-rubric", "lydite-text"]).find("rewards", "rubric/score").thing
    from lydite.contracts import spec_of

    for name in ("triage", "triage-judged", "refusal"):
        uses = spec_of(score).uses({"file": f"package:lydite_medical/rubrics/{name}.toml"})
        assert {"recommends-contraindicated", "refuses-contraindicated"} & set(uses)
