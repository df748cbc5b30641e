"""A server for tests of its pages: a small model that sees blue squares as faces."""

import contextlib
import socket
import threading
import time

import numpy as np

RATES = {"n_real": 20, "n_fake": 10, "false_alarms": [0.05, 0.0, 0.2],
         "misses": [0.8, 0.5, 1.0]}  # fmt: skip
GROUNDS = ["A video is called fake above 0.500.", "P(fake) is calibrated.", "Learned."]
CARD = {
    "data": "squares", "toy": False, "fitted_on": "2026-01-02", "version": "0.1.0",
    "n_real": 20, "n_fake": 10, "n_groups": 12, "fitted_before": {},
    "auc": [0.8, 0.6, 0.9], "above_chance": True, "problem": "",
    "low": 0.5, "high": 0.5,
    "set_on_the_same": False, "rates": RATES, "by_status": {}, "profile": None,
    "failed_detectors": {}, "n_skipped": 0,
}  # fmt: skip


def a_scan(name="clip.mp4", **changes):
    """What a scan found, as its JSON has it: two faces, one of them fake."""
    timeline = [
        {"detector": "net", "frame": 25 * second, "seconds": float(second),
         "face": face, "score": score, "decided": face == 2, "pooled": face == 2}
        for face, scores in ((1, (0.1, 0.2, 0.1)), (2, (0.9, 0.7, 0.8)))
        for second, score in enumerate(scores)
    ]  # fmt: skip
    face = {"first": 0.0, "last": 2.0, "reason": "", "doubts": ""}
    faces = [
        {"face": 1, "p_fake": 0.12, "verdict": "REAL", "main": False,
         "members": {"net": 0.12}} | face,
        {"face": 2, "p_fake": 0.7, "verdict": "FAKE", "main": True,
         "members": {"net": 0.8}} | face,
    ]  # fmt: skip
    member = {"detector": "net", "frames": 3, "low": 0.7, "high": 0.9,
              "pooling": "mean", "p_fake": 0.8, "weight": 1.0, "moved": 1}  # fmt: skip
    steps = [{"step": "members combined (logistic)", "p_fake": 0.8},
             {"step": "calibrated (platt)", "p_fake": 0.7}]  # fmt: skip
    return {
        "video": name, "p_fake": 0.7, "verdict": "UNSURE", "status": "scored",
        "reason": "",
        "doubts": "its faces disagree, P(fake) 0.700 (the largest face), 0.120",
        "card": CARD, "spread": {"low": 0.8, "high": 0.8, "std": None},
        "threshold": {"low": 0.5, "high": 0.5},
        "grounds": GROUNDS,
        "how": {"members": [member], "steps": steps},
        "model": {"name": "model.dfe", "sha256": "ab" * 32}, "faces_disagree": True,
        "members": [{"detector": "net", "p_fake": 0.8, "reason": ""}],
        "faces": faces, "timeline": timeline,
    } | changes  # fmt: skip


FACTS = {
    "file": {"name": "model.dfe", "sha256": "ab" * 32}, "members": ["net"],
    "looks_at": {"net": "faces, each by itself"},
    "threshold": {"low": 0.5, "high": 0.5}, "card": CARD, "summary": "Learned.",
    "grounds": GROUNDS,
}  # fmt: skip


def two_squares(path, left=40, right=200, n_frames=50):
    """Write a video of two blue squares, the redder the more of a fake.

    The right one is redder at the end: these moments stand out.
    """
    from base_models.video.writing import write_video

    frames = np.zeros((n_frames, 120, 240, 3), np.uint8)
    for place, red in ((24, left), (152, right)):
        frames[:, 20:84, place : place + 64] = (20, 20, 160)
        frames[:, 52:84, place + 32 : place + 64, 0] = red
    frames[3 * n_frames // 5 :, 52:84, 184:216, 0] = right + 40
    write_video(path, frames, 25.0)
    return path


class SquareFinder:
    """Finds blue squares as faces."""

    def find(self, frame):
        """Return the squares of a frame, from left to right."""
        import cv2

        from base_models import Face

        blue = (frame[..., 2] > 90).astype(np.uint8)
        boxes = cv2.connectedComponentsWithStats(blue)[2][1:]
        return [
            Face((int(x), int(y), int(x + w), int(y + h)), 1.0)
            for x, y, w, h, area in sorted(boxes.tolist())
            if area > 1000
        ]


def open_model(path):
    """Return the model; ``path`` is where a file would be."""
    import torch
    from torch import nn

    from base_models import TorchDetector
    from ensemble import DeepfakeEnsemble

    class Corner(nn.Module):
        """Says fake where the lower right is red."""

        def __init__(self):
            super().__init__()
            self.look = nn.Conv2d(3, 2, 4, stride=4)
            weight = torch.zeros(2, 3, 4, 4)
            weight[1, 0] = 1 / 16
            self.look.weight = nn.Parameter(weight)
            self.look.bias = nn.Parameter(torch.zeros(2))

        def forward(self, images):
            maps = torch.relu(self.look(images))
            return 8 * maps[:, 1, 4:, 4:].mean(dim=(1, 2)) - 4

    def clip(red):
        frames = np.zeros((12, 120, 120, 3), np.uint8)
        frames[:, 20:84, 24:88] = (20, 20, 160)
        frames[:, 52:84, 56:88, 0] = red
        return frames

    member = TorchDetector(
        Corner(), view="face", train="none", image_size=32, n_frames=6,
        finder=SquareFinder(), margin=1.0, n_threads=1,
    )  # fmt: skip
    shades = np.r_[np.arange(30, 54), np.arange(186, 210)]
    model = DeepfakeEnsemble([("corner", member)], "voting", resampling=2)
    return model.fit(
        [clip(int(red)) for red in shades], shades > 100, groups=np.arange(48) % 24
    )


@contextlib.contextmanager
def answering(app, lifespan="on"):
    """Run an application on a free port; give its address.

    With ``lifespan="off"`` nothing is scanned and no model loaded.
    """
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", lifespan=lifespan)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
