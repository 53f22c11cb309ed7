import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_medical.lexicon import advice, lexicon
from lydite_medical.polarity import Sense, sense_of
from lydite_medical.words import find_phrase, sentences


def sense(text, word="ibuprofen"):
    """What the last sentence that mentions the word does with it."""
    found = [
        sense_of(one, advice().cues(one.words), at, at + 1)
        for one in sentences(text)
        for at in find_phrase(one.words, (word,))
    ]
    return found[-1]


REFUSED, ADVISED, HEDGED, SPOKEN_OF = Sense.REFUSED, Sense.ADVISED, Sense.HEDGED, Sense.SPOKEN_OF


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Avoid ibuprofen.", REFUSED),
        ("Do not give ibuprofen.", REFUSED),
        ("Ibuprofen is contraindicated.", REFUSED),
        ("Don't take ibuprofen or naproxen.", REFUSED),
        ("Take ibuprofen 400 mg.", ADVISED),
        ("Ibuprofen 400 mg three times a day.", ADVISED),
        ("Do not avoid ibuprofen.", ADVISED),
        ("Do not hesitate to give ibuprofen.", ADVISED),
        ("There is no reason not to give ibuprofen.", ADVISED),
        ("Ibuprofen is not contraindicated here.", ADVISED),
        ("Use paracetamol instead of ibuprofen.", REFUSED),
        ("Use paracetamol rather than ibuprofen.", REFUSED),
        ("Use ibuprofen rather than paracetamol.", ADVISED),
        ("Instead of paracetamol, give ibuprofen.", ADVISED),
        ("Instead of paracetamol give ibuprofen.", ADVISED),
        ("Instead of ibuprofen, give paracetamol.", REFUSED),
        ("Avoid ibuprofen unless your doctor says so.", HEDGED),
        ("Take ibuprofen unless you are pregnant.", ADVISED),
        ("Should I take ibuprofen?", SPOKEN_OF),
        ("You are taking ibuprofen.", SPOKEN_OF),
        ("Ibuprofen is an NSAID.", SPOKEN_OF),
        ("Ask whether ibuprofen is in the cupboard.", SPOKEN_OF),
        ("Giving ibuprofen is dangerous in this patient.", REFUSED),
        ("Ibuprofen should not be used.", REFUSED),
        ("Ibuprofen must be avoided.", REFUSED),
        ("Ibuprofen and aspirin should be avoided.", REFUSED),
        ("Aspirin is contraindicated, but ibuprofen is fine.", ADVISED),
        ("Aspirin is contraindicated, use ibuprofen.", ADVISED),
        ("Aspirin should be avoided and ibuprofen is safe.", ADVISED),
        ("Avoid:\n- aspirin\n- ibuprofen\n- naproxen", REFUSED),
        ("Do not:\n- take ibuprofen\n- drive", REFUSED),
        ("Avoid smoking and take ibuprofen.", ADVISED),
        ("Avoid alcohol; take ibuprofen.", ADVISED),
        ("It is not safe to give ibuprofen.", REFUSED),
        ("It is safe to give ibuprofen.", ADVISED),
        ("Ibuprofen: contraindicated.", REFUSED),
        ("Ibuprofen (avoid)", REFUSED),
        ("No ibuprofen, no naproxen.", REFUSED),
        ("No naproxen, no ibuprofen.", REFUSED),
        ("I would not recommend giving ibuprofen.", REFUSED),
        ("There is no harm in taking ibuprofen.", ADVISED),
        ("It is not true that ibuprofen is contraindicated.", ADVISED),
        ("I do not think ibuprofen is a good choice.", REFUSED),
        ("Ibuprofen would be a bad choice.", REFUSED),
        ("I think that ibuprofen is the best choice.", ADVISED),
        ("Avoid giving ibuprofen.", REFUSED),
        ("Avoid stopping ibuprofen.", ADVISED),
        ("Stop taking ibuprofen.", REFUSED),
        ("Stop your ibuprofen.", REFUSED),
        ("No, do not give ibuprofen.", REFUSED),
        ("No, give ibuprofen.", ADVISED),
        ("Give ibuprofen even though it is contraindicated.", ADVISED),
        ("Avoid ibuprofen, which is not safe in kidney disease.", REFUSED),
        ("Ibuprofen, an NSAID, should be avoided.", REFUSED),
        ("Do not give, prescribe or recommend ibuprofen.", REFUSED),
        ("If the pain goes on, take ibuprofen.", ADVISED),
        ("Because ibuprofen can worsen kidney function, give paracetamol.", SPOKEN_OF),
        ("If you take ibuprofen tell us.", SPOKEN_OF),
        ("As needed take ibuprofen.", ADVISED),
        ("Never ever give ibuprofen.", REFUSED),
        ("Given the ulcer, ibuprofen is not an option.", REFUSED),
        ("Not giving ibuprofen would be wrong.", ADVISED),
        ("The patient should not be given ibuprofen.", REFUSED),
        ("Paracetamol is safe; ibuprofen is not.", REFUSED),
        ("Paracetamol, not ibuprofen.", REFUSED),
        ("Take paracetamol but not ibuprofen.", REFUSED),
        ("Not only is ibuprofen safe, it is the best choice.", ADVISED),
        ("Ibuprofen is not safe.", REFUSED),
        ("Ibuprofen is not unsafe.", ADVISED),
        ("Ibuprofen can't be used with warfarin.", REFUSED),
        ("Nobody with an ulcer should take ibuprofen.", REFUSED),
        ("I advise against ibuprofen.", REFUSED),
        ("Refrain from ibuprofen.", REFUSED),
        ("Under no circumstances give ibuprofen.", REFUSED),
        ("Ibuprofen is a no.", REFUSED),
        ("You can have ibuprofen.", ADVISED),
        ("Why not take ibuprofen?", ADVISED),
        ("Do not stop ibuprofen.", ADVISED),
        ("You could try ibuprofen, it is not dangerous.", ADVISED),
        ("Paracetamol is a better choice than ibuprofen.", REFUSED),
        ("Withhold ibuprofen and give paracetamol.", REFUSED),
        ("Any painkiller except ibuprofen.", REFUSED),
        ("Ibuprofen is contraindicated only in others, so take ibuprofen.", ADVISED),
    ],
)
def test_sense(text, expected):
    assert sense(text) is expected


TURNS = st.lists(st.sampled_from(["not", "avoid", "stop", "refuse", "never"]), max_size=6)


@given(words=TURNS)
def test_every_turn_turns_the_sense(words):
    kept = [
        word
        for place, word in enumerate(words)
        if not (place and word in ("not", "never") and words[place - 1] in ("not", "never"))
    ]
    text = " ".join(["please", *kept, "take", "ibuprofen"])
    assert sense(text) is (REFUSED if len(kept) % 2 else ADVISED)


@given(
    before=st.sampled_from(["Avoid alcohol", "Do not drive", "Aspirin is contraindicated", "Never smoke"]),
    joint=st.sampled_from(["; ", ". ", ", but ", "\n", ", "]),
)
def test_a_refusal_does_not_reach_into_the_next_clause(before, joint):
    assert sense(f"{before}{joint}take ibuprofen") is ADVISED
    assert sense(f"Take paracetamol{joint}avoid ibuprofen") is REFUSED


def test_a_phrase_belongs_to_one_list():
    with pytest.raises(ValueError, match=r"'no' stands in 'one' and in 'two'"):
        lexicon({"one": ["no"], "two": ["no"]})
    with pytest.raises(ValueError, match="1 to 8 words"):
        lexicon({"one": [""]})
