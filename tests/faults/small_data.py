"""A few clips of noise, a table of scores, and the commands that are tried on them."""

import contextlib
import io
import sys

import numpy as np

NETWORK = [
    "--backbones", "resnet18", "--views", "frame", "--train", "head", "--weights",
    "none", "--image-size", "32", "--n-frames", "2", "--folds", "2", "--quiet",
]  # fmt: skip

# Name -> (arguments, what is written). DATA, OUT and STORE are replaced by folders.
COMMANDS = {
    "combine": ("combine DATA/scores.csv --combiner soft --draws 20 -q --overwrite "
                "--out OUT/rule.dfe", ["rule.dfe"]),
    "apply": ("apply DATA/rule.dfe DATA/scores.csv -q --out OUT/said.csv",
              ["said.csv"]),
    "compare": ("compare DATA/scores.csv --report OUT/report.html --csv OUT/table.csv "
                "--json OUT/table.json --folds 2 --draws 20 "
                "--strategies soft,log_odds -q",
                ["report.html", "table.csv", "table.json"]),
    "compare videos": ("compare DATA/set.csv --csv OUT/table.csv --json OUT/table.json "
                       "--draws 20 --strategies soft,log_odds --store STORE "
                       + " ".join(NETWORK), ["table.csv", "table.json"]),
    "index": ("index DATA/set.csv --out OUT/index.parquet --no-faces --store STORE -q "
              "--overwrite", ["index.parquet"]),
    "index csv": ("index DATA/set.csv --out OUT/index.csv --no-faces --store STORE -q "
                  "--overwrite", ["index.csv"]),
    "prepare": ("prepare DATA/set.csv OUT/crops --view frame --size 32 --n-frames 2 "
                "--store STORE -q", ["crops"]),
    "prepare shards": ("prepare DATA/set.csv OUT/crops --view frame --size 32 "
                       "--n-frames 2 --format webdataset --store STORE -q", ["crops"]),
    "explore": ("explore DATA/set.csv --out OUT/page.html --csv OUT/tables --no-faces "
                "--json OUT/all.json --store STORE -q --overwrite",
                ["page.html", "tables", "all.json"]),
    "forge": ("forge OUT/forged --bundled --pairs 1 --frames 4 --size 64 "
              "--methods LandmarkSwap --compression c23 -q", ["forged"]),
    "fit": ("fit DATA/set.csv --out OUT/model.dfe --store STORE --overwrite "
            + " ".join(NETWORK), ["model.dfe"]),
    "predict": ("predict DATA/model.dfe DATA/clips --submission OUT/sub.csv "
                "--store STORE -q --overwrite", ["sub.csv"]),
    "batch": ("batch DATA/model.dfe DATA/set.csv --out OUT/parts --part-size 2 "
              "--store STORE -q", ["parts"]),
    "stress": ("stress DATA/model.dfe DATA/clips --changes jpeg --scores OUT/s.csv "
               "--plot OUT/plot.png --json OUT/s.json -q --overwrite",
               ["s.csv", "plot.png", "s.json"]),
}  # fmt: skip


def make_data(folder, with_models=True):
    """Write 6 clips of noise with a list of them, scores, and a rule and a model."""
    from base_models import write_video

    draw = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True)
    lines = ["path,label,group"]
    for number in range(6):
        brightest = 120 if number % 2 else 255
        frames = draw.integers(0, brightest, (6, 64, 64, 3), dtype=np.uint8)
        write_video(folder / "clips" / f"{number}.mp4", frames, fps=10)
        label = "FAKE" if number % 2 else "REAL"
        lines.append(f"clips/{number}.mp4,{label},g{number // 2}")
    (folder / "set.csv").write_text("\n".join(lines))
    rows = [
        f"v{n},g{n // 2},{n % 2},{0.3 + 0.4 * (n % 2) + 0.3 * draw.random():.4f},"
        f"{draw.random():.4f}"
        for n in range(40)
    ]
    (folder / "scores.csv").write_text("\n".join(["video,group,label,p_a,p_b", *rows]))
    if not with_models:
        return
    for name, made in (("combine", "rule.dfe"), ("fit", "model.dfe")):
        code, said = command(name, folder, folder, folder / "store")
        assert code == 0, said
        assert (folder / made).exists()


def command(name, data, out, store):
    """Run a command in this process; return its exit code and what it said."""
    from ensemble.cli.app import main

    places = {"DATA": data, "OUT": out, "STORE": store}
    words = COMMANDS[name][0].split()
    for place, folder in places.items():
        words = [word.replace(place, str(folder)) for word in words]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as left:
            return left.code or 0, said.getvalue()
    return sys.maxsize, said.getvalue()


def content(folder, names):
    """Return the bytes of files, and of those in folders, by name."""
    found = {}
    for name in names:
        path = folder / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            short = file.relative_to(folder).as_posix()
            if file.is_file() and "/_" not in short:  # notes and locks of batch
                found[short] = file.read_bytes()
    return found


def unfinished(*folders):
    """Return what somebody has begun and not ended."""
    return sorted(
        path.name
        for folder in folders
        for pattern in (".unfinished-*", "*.part")
        for path in folder.rglob(pattern)
    )
