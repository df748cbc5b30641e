"""What several tests of video files share."""

import cv2
import pytest
from little_videos import counting_frames

# Readers import it; in this process it would end the tests.
collect_ignore = ["deadly_reader.py"]


@pytest.fixture
def frame_folder(tmp_path):
    """Twelve images named 1.png to 12.png."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(counting_frames(12)):
        cv2.imwrite(str(folder / f"{number + 1}.png"), frame)
    (folder / "notes.txt").write_text("no image")
    (folder / "._1.png").write_bytes(b"left by a Mac")
    (folder / "more.png").mkdir()
    return folder
