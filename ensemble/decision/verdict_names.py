"""How verdicts are written, and how it is said which members have scored a video."""

FAKE, REAL, UNSURE = "FAKE", "REAL", "UNSURE"
NO_VERDICT = ""  # without a score
VERDICTS = (FAKE, REAL, UNSURE, NO_VERDICT)

SCORED = "scored"  # by every member
PARTIAL = "partial"  # some members have no score
UNSCORABLE = "unscorable"  # the ensemble has none
