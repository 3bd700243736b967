"""What is newly written in a reply; cut at the end only, and never everything."""

from __future__ import annotations

import pytest

from portico.channels.email.quoting import newly_written

OUTLOOK = "From: Agent <agent@p.example>\nSent: Monday\nTo: Ann\nSubject: RE: x\n\nold"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Yes.", "Yes."),
        ("Yes.\n\nOn Mon, 1 Jan 2026 at 10:00, Agent <a@b> wrote:\n> old\n> older", "Yes."),
        ("Yes.\n\nOn Mon, 1 Jan 2026 at 10:00, Agent\n<a@b> wrote:\n\n> old", "Yes."),
        ("Ja.\n\nAm 01.01.26 um 10:00 schrieb Agent:\n> alt", "Ja."),
        ("Oui.\n\nLe lun. 1 janv. 2026, Agent a écrit :\n> vieux", "Oui."),
        ("Да.\n\nпн, 1 янв. 2026 г., Agent пишет:\n> старое", "Да."),
        (f"Yes.\n\n{OUTLOOK}", "Yes."),
        (f"Yes.\n\n________________________________\n{OUTLOOK}", "Yes."),
        ("Yes.\n\n-----Original Message-----\nFrom: x\n\nold", "Yes."),
        ("Yes.\n\n-- \nAnn\nACME", "Yes."),
        ("Yes.\n-- \nAnn\n\nOn Monday, Agent wrote:\n> old", "Yes."),
        ("Yes.\n\n> old\n> older\n\n-- \nAnn", "Yes."),
        # What stands below a quote belongs to it.
        ("> Tea?\nYes.\n> Milk?\nNo.", "> Tea?\nYes.\n> Milk?\nNo."),
        ("> Tea?\nYes.\n\n> the rest", "> Tea?\nYes."),
        # Nothing else: better all of it.
        ("On Monday, Agent wrote:\n> old", "On Monday, Agent wrote:\n> old"),
        ("> only quotes", "> only quotes"),
        ("I wrote:\nthe list follows", "I wrote:\nthe list follows"),
        ("From: Oslo\nto: Bergen\n\nfind a train", "From: Oslo\nto: Bergen\n\nfind a train"),
    ],
)
def test_history_and_signature_are_left_out(text: str, kept: str) -> None:
    assert newly_written(text) == kept


def test_it_takes_no_time_on_hostile_text() -> None:
    for text in ("On " + "wrote " * 50_000, "> " * 100_000, "\n" * 200_000, "-- \n" * 50_000):
        newly_written(text)
