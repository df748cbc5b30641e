"""Folders that prepare makes, as those see them that read data sets."""

from pathlib import Path

PREPARED = "prepared.json"  # in a folder of crops that prepare made, no original
STATE = ".prepared"  # where the folder keeps what a second run must know
UNFINISHED = f"{STATE}/unfinished"  # there until lists and images are of one run


def check_finished(path: Path) -> None:
    """Refuse a prepared folder, or a list in it, that is being written or was left so.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        Its lists may be of other images than lie there.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / UNFINISHED).is_file():
        raise ValueError(
            f"{folder} is not whole: prepare writes into it, or was stopped before it "
            "had written all. Run the same prepare to its end, and then this again"
        )
