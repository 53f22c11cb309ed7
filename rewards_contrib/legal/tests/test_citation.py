import datetime
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lydite import Status
from lydite_legal import citation
from lydite_legal.cites import FAULTS, read_cites

THIS_YEAR = datetime.datetime.now(tz=datetime.UTC).year


def cites(text: str) -> list[tuple[str, str, str]]:
    """Kind, key and fault of each citation in the text."""
    return [(one.kind, one.key, one.fault) for one in read_cites(text, 2026)]


def test_the_pinned_eyecite_gives_brown_its_own_year() -> None:
    from eyecite import get_citations

    text = "Brown v. Board of Education, 347 U.S. 483 (1954); see also Kisor v. Wilkie, 139 S. Ct. 2400 (2019)."
    brown, kisor = get_citations(text)
    assert (brown.metadata.year, kisor.metadata.year) == ("1954", "2019")
    assert re.findall(r"\((\d{4})\)", text) == ["1954", "2019"]
    assert [one.year for one in read_cites(text, 2026)] == [1954, 2019]


def test_the_year_is_read_here_whatever_eyecite_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import eyecite

    real = eyecite.get_citations

    def misled(text: str) -> list[Any]:
        found: list[Any] = list(real(text))
        for one in found:
            one.metadata.year = "2019"
        return found

    monkeypatch.setattr(eyecite, "get_citations", misled)
    assert [one.year for one in read_cites("Brown v. Board of Education, 347 U.S. 483, 495 (1954).", 2026)] == [1954]


def test_the_year_is_read_over_pinpoints_and_parallel_citations() -> None:
    text = "Brown v. Board of Education, 347 U.S. 483, 495, 74 S. Ct. 686, 98 L. Ed. 873 (1954); then 5 F.3d 1 (1993)"
    assert [one.year for one in read_cites(text, 2026)] == [1954, 1954, 1954, 1993]


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("17 C.F.R. § 240.10b-5", "statute", "17 c.f.r. 240.10b-5"),
        ("17 CFR 240.10b-5(b)", "statute", "17 c.f.r. 240.10b-5(b)"),
        ("42 U.S.C. 1983", "statute", "42 u.s.c. 1983"),
        ("42 USC § 2000e-2(a)(1)", "statute", "42 u.s.c. 2000e-2(a)(1)"),
        ("Fla. Stat. § 768.81(3)", "statute", "fla.stat.768.81(3)"),
        ("740 ILCS 14/15", "statute", "740 ilcs 14/15"),
        ("Fed. R. Civ. P. 12(b)(6)", "statute", "fed.r.civ 12(b)(6)"),
        ("U.S. Const. amend. XIV, § 1", "statute", "u.s.const. amend 14 1"),
        ("N.Y. C.P.L.R. 3211(a)(7)", "statute", "n.y.c.p.l.r.3211(a)(7)"),
        ("Mass. Gen. Laws ch. 93A, § 9", "statute", "mass.gen.laws ch.93a, § 9"),
        ("Sale of Goods Act 1979, s 14(2)", "statute", "sale of goods act 1979 14(2)"),
        ("Section 14 of the Sale of Goods Act 1979", "statute", "sale of goods act 1979 14"),
        ("Article 6(1)(f) GDPR", "statute", "gdpr 6(1)(f)"),
        ("§ 433 Abs. 1 BGB", "statute", "bgb 433abs.1"),
        ("[2019] UKSC 41", "neutral", "[2019] uksc 41"),
        ("[2019] EWHC 221 (Ch)", "neutral", "[2019] ewhc 221"),
        ("2019 SCC 5.", "neutral", "2019 scc 5"),
        ("[1998] HCA 1", "neutral", "[1998] hca 1"),
        ("[1893] 1 QB 256", "neutral", "[1893] 1 qb 256"),
        ("Case C-131/12", "eu", "c-131/12"),
        ("Case 6/64", "eu", "6/64"),
        ("ECLI:EU:C:2014:317", "eu", "ecli:eu:c:2014:317"),
        ("62012CJ0131", "eu", "62012cj0131"),
        ("Regulation (EU) 2016/679", "eu", "regulation 2016/679"),
        ("Regulation (EC) No 1234/2007", "eu", "regulation 2007/1234"),
        ("Directive 95/46/EC", "eu", "directive 1995/46"),
        ("5 U.S. (1 Cranch) 137 (1803)", "case", "5 u.s.137"),
        ("100 F.3d at 12", "short", "100 f.3d"),
        ("Id. at 12", "id", "id."),
    ],
)
def test_a_citation_is_read_whole(text: str, kind: str, key: str) -> None:
    assert cites(text) == [(kind, key, "")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("999 U.S. 9999 (2050)", "year.future"),
        ("999 U.S. 12 (1990)", "volume.range"),
        ("347 U.S. 12345 (1954)", "page.range"),
        ("347 U.S. 483 (2010)", "edition.year"),
        ("5 F.2d 100 (2010)", "edition.year"),
        ("50 P.2d 12 (1888)", "edition.year"),
        ("2020 WL 12345 (S.D.N.Y. 2016)", "edition.year"),
        ("99 U.S.C. § 5", "title.range"),
        ("51 C.F.R. § 5", "title.range"),
        ("Fed. R. Civ. P. 999", "section.range"),
        ("Article 200 GDPR", "section.range"),
        ("U.S. Const. amend. XXIX", "section.range"),
        ("Case 6/99", "court.year"),
        ("[1875] UKSC 5", "court.year"),
        ("[2019] UKSC 4100", "number.range"),
        ("C-12/99999", "citations.none"),  # no year has five digits
        ("C-9999/19", "number.range"),
        ("T-12/80", "court.year"),
        ("[2019] XYZC 4", "court.unknown"),
        ("ECLI:XX", "court.unknown"),
        ("12 Foo. 3d 33 (1999)", "reporter.unknown"),
        ("347 U.S. (1954)", "page.range"),
        ("42 U.S.C. §", "section.missing"),
        ("a breach of § and more", "section.missing"),
        ("[citation needed]", "cite.placeholder"),
        ("___ U.S. ___", "cite.placeholder"),
        ("Sale of Goods Act 2079", "year.future"),
    ],
)
def test_what_cannot_be_is_named(text: str, fault: str) -> None:
    verdict = citation(text, latest=2026)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, False, fault)
    assert fault in (*FAULTS, "citations.none")


def test_the_score_is_the_share_of_plausible_citations() -> None:
    good, bad = "347 U.S. 483 (1954)", "999 U.S. 9999 (2050)"
    assert citation(good).score == 1.0
    assert citation(f"{good}; {bad}").score == 0.5
    assert citation(f"{good}; {bad}").passed is False
    assert citation(good, at_least=2).score == 0.5
    assert citation(good, at_least=2).reason == "citations.few"
    assert citation(f"{good}; {good}", at_least=2).score == 0.5  # the same one twice is one
    assert citation(f"{good}. [citation needed]").score == 0.0
    assert citation(f"{good}. [citation needed]", malformed="ignore").score == 1.0
    assert citation("347 U.S. 483", require_year=True).reason == "year.missing"
    assert citation("347 U.S. 483").passed
    many = "; ".join(f"{volume} U.S. 5" for volume in range(300, 330))
    assert citation(many).reason == "citations.many"
    assert citation(many, at_most=40).passed
    assert citation("x" * 30_000).reason == "text.long"


def test_a_citation_of_this_year_is_not_from_the_future() -> None:
    assert citation(f"[{THIS_YEAR}] UKSC 4").passed
    assert citation(f"[{THIS_YEAR + 1}] UKSC 4").reason == "year.future"
    assert citation(f"[{THIS_YEAR + 1}] UKSC 4", latest=THIS_YEAR + 1).passed


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    citation("Brown v. Board of Education, 347 U.S. 483 (1954). Id. at 5. Marsh, supra, at 3. 42 U.S.C. § 1983.")
    assert capfd.readouterr() == ("", "")


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="0123456789 §.()[]UFSCdv/-\n", max_size=400))
def test_no_text_breaks_it(text: str) -> None:
    verdict = citation(text)
    assert verdict.status is Status.OK
    assert verdict.score is not None
    assert 0.0 <= verdict.score <= 1.0


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["[2019] UKSC 41", "42 U.S.C. § 1983", "Case C-131/12"]))
def test_spans_are_places_in_the_text(before: str, cited: str) -> None:
    text = f"{before}\n{cited}"
    for one in read_cites(text, 2026):
        assert text[one.start : one.end] == one.text
