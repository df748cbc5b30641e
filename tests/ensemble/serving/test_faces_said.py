"""What pages say of several faces: whose score it is, and what looks at each alone."""

from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")
from page_server import CARD, RATES, a_scan
from test_serve_pages import Tags

from ensemble.serving.pages.in_words import errors_in_words
from ensemble.serving.pages.rendering import render
from ensemble.serving.pages.view import scan_view
from ensemble.verdicts.video_verdicts import IN_TRAINING


def two_members():
    """A scan by a member of faces and one of whole frames, which alone says fake."""
    scan = a_scan(p_fake=0.3)
    for face, (net, together) in zip(
        scan["faces"], ((0.4, 0.9), (0.2, 0.3)), strict=True
    ):
        face["members"] = {"net": net, "frames": 0.95}
        face["p_fake"] = together
        face["verdict"] = "FAKE" if together > 0.5 else "REAL"
    scan["timeline"] += [
        row | {"detector": "frames", "face": 0}
        for row in scan["timeline"]
        if row["face"] == 1
    ]
    scan["members"].append({"detector": "frames", "p_fake": 0.95, "reason": ""})
    return scan


def words_of(client, address):
    return " ".join(Tags(client.get(address).text).words.split())


def test_each_face_has_what_is_said_of_it_alone(client, add):
    job = add(two_members())
    for address in (f"/scans/{job}", f"/v1/scans/{job}/report.html"):
        words = words_of(client, address)
        assert "2 faces were followed and scored. Whoever else you see" in words
        assert "frames looks at the whole picture and counts in the score of" in words
        assert "By what looks at this face alone: 0.400 (net)." in words
        assert "By what looks at this face alone: 0.200 (net)." in words


def test_a_face_with_a_verdict_of_its_own_in_a_file_without_one_says_so(client, add):
    scan = two_members() | {"verdict": "UNSURE", "doubts": "it is odd"}
    own = "This is about this face alone: of the whole file the model is UNSURE"
    assert own not in words_of(client, f"/scans/{add(scan)}")  # its faces differ
    scan |= {"faces": scan["faces"][:1], "faces_disagree": False}
    assert own in words_of(client, f"/scans/{add(scan)}")
    scan["faces"][0]["verdict"] = "UNSURE"
    assert own not in words_of(client, f"/scans/{add(scan)}")


@pytest.mark.parametrize("page", ["scan", "start", "compare"])
def test_it_is_said_of_which_face_the_score_is(client, add, page):
    job = add(two_members())
    address = {"scan": f"/scans/{job}", "start": "/", "compare": f"/compare?ids={job}"}
    words = words_of(client, address[page])
    assert "The faces differ: face 1 FAKE, face 2 REAL." in words
    assert (
        "This P(fake) is about face 2, the largest, and no other; face 1 has" in words
    )
    report = words_of(client, f"/v1/scans/{job}/report.html")
    assert "This P(fake) is about face 2, the largest, and no other" in report


def test_a_member_that_takes_all_faces_chooses_none_by_its_size(client, add):
    scan = two_members()
    scan["members"][0]["looks_at"] = "all faces, each by itself"
    words = words_of(client, f"/scans/{add(scan)}")
    assert "This P(fake) is about face 2 and no other; face 1 has 0.900." in words


def test_a_score_far_from_its_members_is_explained(client, add):
    scan = two_members()
    scan["how"]["pull"] = "The members say 0.999, and 0.503 is made of it: so."
    job = add(scan)
    for address in (f"/scans/{job}", f"/v1/scans/{job}/report.html"):
        assert "The members say 0.999, and 0.503" in words_of(client, address)


def test_one_face_is_one_and_none_is_none(client, add):
    scan = two_members()
    scan |= {"faces": scan["faces"][:1], "faces_disagree": False}
    words = words_of(client, f"/scans/{add(scan)}")
    assert "One face was followed and scored. Whoever else you see" in words
    assert "is about face" not in words
    add(scan | {"faces": []})
    assert "UNSURE P(fake) 0.300 No face was found." in words_of(client, "/")


def test_rates_of_few_files_are_not_said_and_others_say_what_they_count():
    few, some = RATES | {"n_real": 3}, RATES | {"n_real": 18, "n_fake": 9}
    whole = errors_in_words(CARD)
    assert errors_in_words(CARD | {"by_status": {"partial": few}}, "", "partial") == (
        whole
    )
    found = errors_in_words(CARD | {"by_status": {"scored": some}}, "", "scored")
    assert found[0].startswith("Of 18 real videos")
    counted = "Counted are those that all its members could score, as they could this."
    assert counted in found


def test_a_file_that_was_trained_on_is_said_in_plain_words(client, add):
    words = words_of(client, f"/scans/{add(a_scan(reason=IN_TRAINING))}")
    assert "The model was trained with this very file and knows its answer" in words


def test_it_is_said_how_much_of_a_video_was_looked_at(client, add):
    job = add(two_members())
    for address in (f"/scans/{job}", f"/v1/scans/{job}/report.html"):
        words = words_of(client, address)
        assert "What happens between them, the model has not seen." in words
        assert "It was looked at in" in words


def test_a_wide_range_of_rates_is_explained():
    why = f"they are of {CARD['n_groups']} people or sources in all"
    assert any(why in said for said in errors_in_words(CARD))
    rates = RATES | {"false_alarms": [0.05, 0.0, 0.1], "misses": [0.1, 0.05, 0.15]}
    assert not any("range" in s for s in errors_in_words(CARD | {"rates": rates}))


def test_a_model_that_is_always_unsure_says_it_first_and_calls_nothing_fake(
    client, app, add
):
    card = CARD | {"above_chance": False}
    first, *others = errors_in_words(card)
    assert first.startswith("This model calls every file UNSURE")
    assert all("the model" not in said and "REAL" not in said for said in others)
    assert "its score alone missed 80 %" in others[1]
    scan = add(a_scan(card=card))
    words = words_of(client, f"/scans/{scan}")
    assert "called fake above" not in words
    assert words.count("calls every file UNSURE") == 2  # at the head, and as meaning
    app.state.scanner.model_facts = app.state.scanner.model_facts | {"card": card}
    assert "called fake above" not in words_of(client, "/model")


def test_doubts_about_the_whole_file_are_not_said_again_of_each_face(client, add):
    scan = a_scan(doubts="it is short; side of the face 9 pixels, in training 80 to 90")
    scan["faces"][0]["doubts"] = "it is short; it is odd"
    words = words_of(client, f"/scans/{add(scan)}")
    assert words.count("It is short.") == 1
    assert words.count("It is odd.") == 1
    assert "the side of the face has 9 pixels" in words.lower()


def _heat_maps_of(scan, shown):
    view = scan_view(scan)
    faces = {face.face: face for face in view.faces}
    sections = [{"face": face, "pictures": [], "has_maps": True} for face in shown]
    page = render(
        "evidence.html", here="", kept="1 hour", view=view, faces=faces,
        sections=sections, job=SimpleNamespace(id="1", name="clip.mp4"), stem="clip",
    )  # fmt: skip
    return " ".join(Tags(page).words.split())


def test_the_heat_maps_say_which_face_has_none_and_why():
    scan = two_members()
    assert "is not below" not in _heat_maps_of(scan, [1, 2, 0])
    few = "Face 2 is not below: maps are made of a few faces only."
    assert few in _heat_maps_of(scan, [1, 0])  # its frames were scored
    scan["timeline"] = [row for row in scan["timeline"] if row["face"] != 2]
    unseen = "Face 2 is not below: no member looked at it by itself"
    assert unseen in _heat_maps_of(scan, [1, 0])


def test_a_score_near_its_threshold_is_said_to_be(client, add):
    for verdict, score, said in (
        (
            "FAKE",
            0.511,
            "hardly above the threshold: a little less, and the model would",
        ),
        (
            "REAL",
            0.49,
            "hardly below the threshold: a little more, and the model would",
        ),
        ("FAKE", 0.7, "The model takes this video for a fake."),
    ):
        changes = {"verdict": verdict, "p_fake": score, "doubts": ""}
        job = add(a_scan(faces_disagree=False, **changes))
        assert said in words_of(client, f"/scans/{job}")


def test_who_is_scored_is_said_in_the_verdict_and_the_list(client, add):
    one = a_scan(faces_disagree=False, doubts="")
    one["faces"] = one["faces"][1:]
    words = words_of(client, f"/scans/{add(one)}")
    assert "about the one face that was scored, and about nobody else" in words
    assert "One face was scored, and nobody else." in words_of(client, "/")
    add(a_scan(faces_disagree=False, doubts=""))
    assert "Face 1 REAL, face 2 FAKE." in words_of(client, "/")
