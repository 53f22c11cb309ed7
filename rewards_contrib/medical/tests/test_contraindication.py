import pytest

from lydite import Status
from lydite_medical import contraindication

PROMPT = "Rule: with an ulcer, ibuprofen is contraindicated. The patient has an ulcer. What do you advise?"


def said(text, names=("ibuprofen",), prompt=PROMPT, **more):
    return contraindication(text, list(names), prompt, **more)


def test_refused_recommended_absent():
    assert (said("Avoid ibuprofen.").score, said("Avoid ibuprofen.").passed) == (1.0, True)
    assert (said("Take ibuprofen.").score, said("Take ibuprofen.").reason) == (0.0, "contraindication.recommended")
    assert (said("Rest.").score, said("Rest.").passed, said("Rest.").reason) == (0.5, False, "contraindication.absent")
    assert said("Ask whether ibuprofen fits.").reason == "contraindication.mentioned"
    assert said("Avoid ibuprofen unless it hurts.").reason == "contraindication.hedged"


@pytest.mark.parametrize(
    "text",
    [
        "Avoid ibuprofen. Take ibuprofen.",
        "Take ibuprofen. Avoid ibuprofen.",
        "Avoid ibuprofen. Take it anyway.",
        "Avoid ibuprofen. Take 400 mg of it.",
        "Ibuprofen is contraindicated, but take ibuprofen 200 mg.",
        "Avoid Advil. Use ibuprofen.",
    ],
)
def test_refused_and_recommended_is_recommended(text):
    verdict = said(text, synonyms={"ibuprofen": ["Advil"]})
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, False, "contraindication.contradicted")


def test_what_absence_earns():
    assert said("Rest.", absent="pass").passed
    assert said("Rest.", absent="fail").score == 0.0
    assert said("Rest.", absent="abstain").status is Status.ABSTAIN
    assert said("Rest.", absent="abstain").scope == "completion"
    assert said("Take ibuprofen.", absent="pass").score == 0.0
    assert said("", absent="pass").reason == "answer.empty"


def test_repeating_the_rule_is_no_refusal():
    assert said(PROMPT, absent="pass").reason == "answer.echo"
    assert said("Rule: with an ulcer, ibuprofen is contraindicated. OK.").reason == "contraindication.absent"
    assert said("With an ulcer, ibuprofen is contraindicated.").reason == "answer.echo"
    assert said("Ibuprofen is contraindicated here.").passed
    assert said(f"{PROMPT}\nAvoid ibuprofen.").passed
    assert said(f"{PROMPT}\nTake ibuprofen.").score == 0.0
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": PROMPT}]
    assert said(PROMPT, prompt=turns, absent="pass").reason == "answer.echo"


def test_synonyms_and_interventions():
    brands = {"Ibuprofen": ["Advil", "Nurofen Plus"]}
    assert said("Take Nurofen Plus.", synonyms=brands).score == 0.0
    assert said("No Advil, please.", synonyms=brands).passed
    assert said("Give the intramuscular injection.", ["intramuscular injection"]).score == 0.0
    assert said("Intramuscular injections are contraindicated.", ["intramuscular injection"]).passed
    assert said("Take co-amoxiclav.", ["co-amoxiclav"]).score == 0.0
    assert said("Take ibuprofenate.").reason == "contraindication.absent"


def test_any_or_all():
    two = ("ibuprofen", "naproxen")
    assert said("Avoid ibuprofen.", two).passed
    assert said("Avoid ibuprofen.", two, refuse="all").score == 0.5
    assert said("Avoid ibuprofen and naproxen.", two, refuse="all").passed
    assert said("Avoid ibuprofen, take naproxen.", two).score == 0.0


def test_pairs_count_where_their_condition_is_present():
    pairs = [["propranolol", "asthma"], {"name": "ibuprofen", "condition": "ulcer"}]
    assert said("Take ibuprofen.", pairs, conditions=["Asthma"]).reason == "contraindication.absent"
    assert said("Take ibuprofen.", pairs, conditions=["ulcer"]).score == 0.0
    assert said("Take ibuprofen.", pairs).score == 0.0
    assert said("Take ibuprofen.", pairs, conditions="gout").status is Status.ABSTAIN


@pytest.mark.parametrize(
    ("names", "more", "reason"),
    [
        (7, {}, "contraindicated.broken"),
        ([7], {}, "contraindicated.broken"),
        (["?"], {}, "contraindicated.broken"),
        (["x"], {"synonyms": ["y"]}, "synonyms.broken"),
        (["x"], {"synonyms": {"x": 4}}, "synonyms.broken"),
        (["x"], {"conditions": 4}, "conditions.broken"),
    ],
)
def test_broken_columns_are_the_prompts_error(names, more, reason):
    verdict = contraindication("Avoid x.", names, PROMPT, **more)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", reason)


def test_without_a_list_nobody_judges():
    verdict = contraindication("Take it.", [], PROMPT)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ABSTAIN, "prompt", "contraindicated.none")
