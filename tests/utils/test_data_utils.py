import bz2
import gzip
import hashlib
import io
import lzma
import os
import socket
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minikeras.utils import data_utils
from minikeras.utils.data_utils import cached_file, get_file, validate_file

BODY = b"some data " * 20_000
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()

# These would make a directory of their parent, or leave the cache.
BAD_NAMES = ["", ".", "..", "a/b", "../a", "/a", "a/", "..\\a", "a\\b", "a\0b"]


class Handler(BaseHTTPRequestHandler):
    """Answers with what the test has put in `server.answers`, by path."""

    def do_GET(self):
        self.server.asked.append(self.path)
        status, headers, body = self.server.answers.get(self.path, (404, {}, b"no such page"))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing: the answers are the test's own."""


@pytest.fixture(scope="module")
def running_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running_server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running_server.answers = {"/data": (200, {"Content-Length": str(len(BODY))}, BODY)}
    running_server.asked = []
    running_server.url = f"http://127.0.0.1:{running_server.server_port}"
    return running_server


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The folders of Keras' and our cache: not there yet, and nobody else's."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MINIKERAS_HOME", str(tmp_path / "own"))
    return tmp_path / "keras" / "datasets", tmp_path / "own" / "datasets"


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


# The download.


def test_download_and_find_again(server, caches, tmp_path):
    path = get_file("data.bin", server.url + "/data", file_hash=SHA256)

    assert path == str(caches[1] / "data.bin")
    assert caches[1].joinpath("data.bin").read_bytes() == BODY
    assert files_in(tmp_path) == ["own/datasets/data.bin"]
    assert get_file("data.bin", server.url + "/data", file_hash=SHA256) == path
    assert get_file("data.bin", server.url + "/data") == path
    assert server.asked == ["/data"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"md5_hash": MD5},
        {"file_hash": MD5},
        {"file_hash": MD5, "hash_algorithm": "md5"},
        {"file_hash": SHA256, "hash_algorithm": "sha256"},
        {"file_hash": SHA256.upper()},
        {"file_hash": SHA256, "md5_hash": "is not looked at then, as in Keras"},
    ],
)
def test_right_hash_in_each_form(server, caches, arguments):
    assert os.path.getsize(get_file("a", server.url + "/data", **arguments)) == len(BODY)


@pytest.mark.parametrize(
    "arguments",
    [{"md5_hash": "0" * 32}, {"file_hash": "0" * 64}, {"file_hash": "0" * 32}],
)
def test_wrong_hash_keeps_nothing(server, caches, tmp_path, arguments):
    with pytest.raises(ValueError, match=r"was not kept.*expected 000") as refused:
        get_file("a", server.url + "/data", **arguments)

    assert server.url + "/data" in str(refused.value)
    assert (SHA256 if "0" * 64 in arguments.values() else MD5) in str(refused.value)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("file_hash", "algorithm", "message"),
    [
        ("0" * 63, "auto", r"64 hexadecimal digits for sha256 and 32 for md5.*\(63\)"),
        (SHA256, "md5", r"\(64\) for algorithm 'md5'"),
        (SHA256, "sha1", "must be 'auto', 'sha256' or 'md5', got 'sha1'"),
    ],
)
def test_malformed_hash_is_refused_before_the_download(
    server, caches, file_hash, algorithm, message
):
    with pytest.raises(ValueError, match=message):
        get_file("a", server.url + "/data", file_hash=file_hash, hash_algorithm=algorithm)
    assert server.asked == []


def test_truncated_body(server, caches, tmp_path):
    server.answers["/data"] = (200, {"Content-Length": str(len(BODY) + 1)}, BODY)

    with pytest.raises(
        RuntimeError, match=r"after 200000 of 200001 bytes|IncompleteRead"
    ) as failed:
        get_file("a", server.url + "/data")

    assert server.url + "/data" in str(failed.value)
    assert f"put it at {caches[1] / 'a'}" in str(failed.value)
    assert files_in(tmp_path) == []


def test_body_of_unknown_length(server, caches):
    server.answers["/data"] = (200, {}, BODY)
    assert os.path.getsize(get_file("a", server.url + "/data")) == len(BODY)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_error_of_the_server(server, caches, tmp_path, status):
    server.answers["/data"] = (status, {}, b"a page that says so")
    with pytest.raises(RuntimeError, match=f"the server answered {status}"):
        get_file("a", server.url + "/data")
    assert files_in(tmp_path) == []


def test_no_connection(caches, tmp_path, monkeypatch, server):
    with socket.socket() as unused:  # bound but not listening: connecting to it fails
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/data"
        with pytest.raises(RuntimeError, match="refused") as failed:
            get_file("a", url)

    message = str(failed.value)
    assert url in message
    assert f"put it at {caches[1] / 'a'}" in message
    assert "MINIKERAS_HOME" in message
    assert files_in(tmp_path) == []


def test_silent_server_runs_into_the_timeout(caches, tmp_path, monkeypatch, server):
    monkeypatch.setattr(data_utils, "TIMEOUT", 0.05)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # the system connects, nobody answers
        pytest.raises(RuntimeError, match="timed out"),
    ):
        get_file("a", f"http://127.0.0.1:{silent.getsockname()[1]}/data")
    assert files_in(tmp_path) == []


def test_interrupt_leaves_nothing_behind(server, caches, tmp_path, monkeypatch):
    def interrupted(*args):
        args[1].write(b"a beginning")
        raise KeyboardInterrupt

    monkeypatch.setattr(data_utils, "_fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get_file("a", server.url + "/data")
    assert files_in(tmp_path) == []


def test_folder_that_cannot_be_made(server, caches, tmp_path):
    (tmp_path / "own").write_text("a file where the cache should be")
    with pytest.raises(RuntimeError, match=r"Could not download .*cache_dir"):
        get_file("a", server.url + "/data")
    assert server.asked == []


def test_progress_bar_shows_name_and_size(server, caches, capsys):
    get_file("data.bin", server.url + "/data")
    shown = capsys.readouterr().err
    assert "data.bin: 100%" in shown
    assert "195k/195k" in shown


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "ftp://host/a", "data:,hello", "/etc/hostname", "https:///a", ""],
)
def test_other_urls_are_refused(caches, tmp_path, url):
    with pytest.raises(ValueError, match="begins with https:// or http://"):
        get_file("a", url)
    assert files_in(tmp_path) == []


def test_redirect_is_followed(server, caches):
    server.answers["/old"] = (302, {"Location": "/data"}, b"")
    assert os.path.getsize(get_file("a", server.url + "/old", file_hash=SHA256)) == len(BODY)
    assert server.asked == ["/old", "/data"]


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/old"])
def test_redirect_elsewhere_is_refused(server, caches, tmp_path, target):
    server.answers["/old"] = (302, {"Location": target}, b"")
    with pytest.raises(RuntimeError, match=r"answered 302.*(refused|not allowed|infinite loop)"):
        get_file("a", server.url + "/old")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("https", "https", True),
        ("http", "https", True),
        ("http", "http", True),
        ("https", "http", False),
        ("http", "ftp", False),
        ("https", "file", False),
    ],
)
def test_redirect_never_leaves_https(old, new, allowed):
    from urllib.error import HTTPError
    from urllib.request import Request

    def redirect():
        return data_utils._safe_redirects().redirect_request(
            Request(f"{old}://a/"), io.BytesIO(), 302, "Found", {}, f"{new}://b/"
        )

    if allowed:
        assert redirect().full_url == f"{new}://b/"
    else:
        with pytest.raises(HTTPError, match=f"from {old} to {new}://b/, which is refused") as error:
            redirect()
        error.value.close()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_with_folders_are_refused(server, caches, tmp_path, name):
    with pytest.raises(ValueError, match="plain file name"):
        get_file(name, server.url + "/data")
    with pytest.raises(ValueError, match="plain file name"):
        cached_file(name)
    assert files_in(tmp_path) == []


# The cache.


def test_file_in_keras_cache_comes_first(server, caches):
    for folder in caches:
        folder.mkdir(parents=True)
    (caches[1] / "a").write_bytes(BODY)
    assert get_file("a", server.url + "/data") == cached_file("a") == str(caches[1] / "a")
    (caches[0] / "a").write_bytes(BODY)
    assert get_file("a", server.url + "/data") == cached_file("a") == str(caches[0] / "a")
    assert server.asked == []


def test_file_with_the_wrong_hash_is_not_used(server, caches):
    caches[0].mkdir(parents=True)
    (caches[0] / "a").write_bytes(b"an older version")

    with pytest.warns(UserWarning, match=r"keras.*does not have the expected sha256.*not used"):
        path = get_file("a", server.url + "/data", file_hash=SHA256)

    assert path == str(caches[1] / "a")
    assert (caches[0] / "a").read_bytes() == b"an older version"  # it is not ours to replace


def test_wrong_file_in_our_cache_is_replaced_only_by_the_right_one(server, caches):
    caches[1].mkdir(parents=True)
    (caches[1] / "a").write_bytes(b"an older version")

    with pytest.warns(UserWarning, match="not used"), pytest.raises(RuntimeError, match="404"):
        get_file("a", server.url + "/missing", file_hash=SHA256)
    assert files_in(caches[1]) == ["a"]
    assert (caches[1] / "a").read_bytes() == b"an older version"

    with pytest.warns(UserWarning, match="not used"):
        get_file("a", server.url + "/data", file_hash=SHA256)
    assert files_in(caches[1]) == ["a"]
    assert (caches[1] / "a").read_bytes() == BODY


def test_default_folders_are_in_the_home(monkeypatch, tmp_path):
    for name in ("KERAS_HOME", "MINIKERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert cached_file("a") is None
    for home in (".minikeras", ".keras"):
        path = tmp_path / home / "datasets" / "a"
        path.parent.mkdir(parents=True)
        path.touch()
        assert cached_file("a") == str(path)


def test_cache_dir_and_subdir(server, caches, tmp_path):
    (caches[0]).mkdir(parents=True)
    (caches[0] / "a").write_bytes(b"not asked for")
    url = server.url + "/data"
    chosen = get_file("a", url, cache_dir=str(tmp_path / "c"), cache_subdir="models")
    assert chosen == str(tmp_path / "c" / "models" / "a")
    assert get_file("a", url, cache_subdir=str(tmp_path / "here")) == str(tmp_path / "here" / "a")
    assert cached_file("a", cache_subdir=str(tmp_path / "here")) == str(tmp_path / "here" / "a")
    assert cached_file("a", cache_dir=str(tmp_path / "c")) is None


def test_validate_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(BODY)
    for chunk_size in (1000, 65535, len(BODY), 1 << 20):
        assert validate_file(str(path), SHA256, chunk_size=chunk_size)
        assert validate_file(str(path), MD5, "md5", chunk_size)
    assert validate_file(str(path), SHA256.upper())
    assert not validate_file(str(path), "0" * 64)
    assert not validate_file(str(path), "0" * 32, algorithm="auto")
    with pytest.raises(ValueError, match="got 'crc'"):
        validate_file(str(path), MD5, "crc")
    with pytest.raises(ValueError, match=r"\(32\) for algorithm 'sha256'"):
        validate_file(str(path), MD5, "sha256")


# The unpacker.

FILES = {"set/a.txt": b"alpha", "set/deep/b.txt": b"beta" * 40_000, "c.txt": b""}


def tar_entry(name, kind=tarfile.REGTYPE, content=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    return entry, content


def make_tar(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def make_zip(*entries):
    """Each entry: name, content, and the Unix mode (0: none)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


TAR = make_tar(
    tar_entry("./", tarfile.DIRTYPE),
    tar_entry("empty", tarfile.DIRTYPE),
    *(tar_entry(name, content=content) for name, content in FILES.items()),
)
ZIP = make_zip(("empty/", b"", 0), *((name, content, 0o644) for name, content in FILES.items()))


@pytest.fixture
def archive(caches):
    """Put an archive in the cache; `unpack` then unpacks it by get_file."""

    def unpack(content, name="archive", **arguments):
        caches[1].mkdir(parents=True, exist_ok=True)
        (caches[1] / name).write_bytes(content)
        return get_file(name, "https://not.asked/", **{"extract": True, **arguments})

    return unpack


def check_unpacked(folder):
    assert files_in(folder) == sorted([*FILES, "archive"])
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert (folder / "empty").is_dir()


@pytest.mark.parametrize(
    ("content", "archive_format"),
    [
        (TAR, "auto"),
        (TAR, "tar"),
        (TAR, ["zip", "tar"]),
        (gzip.compress(TAR), "auto"),
        (bz2.compress(TAR), "auto"),
        (lzma.compress(TAR), "tar"),
        (ZIP, "auto"),
        (ZIP, "zip"),
    ],
)
def test_unpack(archive, caches, content, archive_format):
    path = archive(content, archive_format=archive_format)
    assert path == str(caches[1] / "archive")
    check_unpacked(caches[1])
    archive(content, archive_format=archive_format)  # a second time, over the first
    check_unpacked(caches[1])


def test_download_and_unpack(server, caches):
    server.answers["/tar"] = (200, {}, gzip.compress(TAR))
    get_file("archive", server.url + "/tar", extract=True)
    check_unpacked(caches[1])


def test_untar(server, caches):
    server.answers["/tar"] = (200, {}, gzip.compress(TAR))
    path = get_file("set", server.url + "/tar", untar=True)
    assert path == str(caches[1] / "set")
    assert files_in(caches[1]) == ["c.txt", "set.tar.gz", "set/a.txt", "set/deep/b.txt"]

    (caches[1] / "set" / "a.txt").write_bytes(b"changed by the user")
    assert get_file("set", server.url + "/tar", untar=True) == path
    assert (caches[1] / "set" / "a.txt").read_bytes() == b"changed by the user"
    assert server.asked == ["/tar"]


@pytest.mark.parametrize("archive_format", [None, []])
def test_no_format_unpacks_nothing(archive, caches, archive_format):
    archive(TAR, archive_format=archive_format)
    assert files_in(caches[1]) == ["archive"]


def test_wrong_format(archive):
    with pytest.raises(ValueError, match="not an archive of format zip"):
        archive(TAR, archive_format="zip")
    with pytest.raises(ValueError, match="not an archive of format tar"):
        archive(ZIP, archive_format="tar")
    for content in (b"", b"neither", gzip.compress(b"x" * 1000), b"\x1f\x8bno gzip"):
        with pytest.raises(ValueError, match="not an archive of format tar or zip"):
            archive(content)
    with pytest.raises(ValueError, match=r"archive_format must be .* got 'rar'"):
        archive(TAR, archive_format="rar")


def test_tar_that_ends_with_a_zip_is_a_tar(archive, caches):
    archive(make_tar(tar_entry("inner.zip", content=ZIP)))
    assert files_in(caches[1]) == ["archive", "inner.zip"]


GOOD = tar_entry("good.txt", content=b"good")
BAD_TARS = {
    "parent": [tar_entry("../out", content=b"x")],
    "parent within": [tar_entry("set/../../out", content=b"x")],
    "parent of a folder": [tar_entry("set/../out", content=b"x")],
    "parent directory": [tar_entry("../out", tarfile.DIRTYPE)],
    "absolute": [tar_entry("/tmp/out", content=b"x")],
    "backslash": [tar_entry("..\\out", content=b"x")],
    "symbolic link": [tar_entry("link", tarfile.SYMTYPE, link="../..")],
    "symbolic link, then through it": [
        tar_entry("link", tarfile.SYMTYPE, link=".."),
        tar_entry("link/out", content=b"x"),
    ],
    "hard link": [tar_entry("link", tarfile.LNKTYPE, link="../../secret")],
    "hard link to a member": [tar_entry("link", tarfile.LNKTYPE, link="good.txt")],
    "fifo": [tar_entry("fifo", tarfile.FIFOTYPE)],
    "character device": [tar_entry("null", tarfile.CHRTYPE)],
    "block device": [tar_entry("disk", tarfile.BLKTYPE)],
    "sparse": [tar_entry("sparse", tarfile.GNUTYPE_SPARSE)],
}
BAD_ZIPS = {
    "parent": [("../out", b"x", 0)],
    "parent within": [("set/../../out", b"x", 0o644)],
    "absolute": [("/tmp/out", b"x", 0)],
    "backslash": [("..\\out", b"x", 0)],
    "symbolic link": [("link", b"../..", stat.S_IFLNK | 0o777)],
    "fifo": [("fifo", b"", stat.S_IFIFO | 0o644)],
}
BAD_ARCHIVES = [
    *(pytest.param(make_tar(GOOD, *bad), id=f"tar {why}") for why, bad in BAD_TARS.items()),
    *(
        pytest.param(make_zip(("good.txt", b"good", 0), *bad), id=f"zip {why}")
        for why, bad in BAD_ZIPS.items()
    ),
]


@pytest.mark.parametrize("content", BAD_ARCHIVES)
def test_dangerous_archive_is_refused_whole(archive, tmp_path, content):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ValueError, match=r"Refused to unpack .*archive: .*member"):
        archive(content)
    assert files_in(tmp_path) == ["own/datasets/archive", "secret"]


def test_absolute_name_is_refused_even_within_the_folder(archive, caches):
    with pytest.raises(ValueError, match="may lead out of the folder"):
        archive(make_tar(tar_entry(str(caches[1] / "out"), content=b"x")))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize(
    "content",
    [make_tar(tar_entry("link/out", content=b"x")), make_zip(("link/out", b"x", 0))],
)
def test_link_that_was_there_before_is_not_followed_out(archive, caches, tmp_path, content):
    caches[1].mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (caches[1] / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"member 'link/out' would go to .*elsewhere"):
        archive(content)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_cache_may_itself_be_a_link(archive, caches, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    caches[1].parent.mkdir()
    caches[1].symlink_to(tmp_path / "elsewhere")
    archive(TAR)
    check_unpacked(tmp_path / "elsewhere")


@pytest.mark.parametrize("content", [TAR, ZIP])
def test_caps(archive, caches, monkeypatch, content):
    size = sum(len(content) for content in FILES.values())
    monkeypatch.setattr(data_utils, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match=f"unpacks to more than {size - 1} bytes"):
        archive(content)
    monkeypatch.setattr(data_utils, "MAX_BYTES", size)
    monkeypatch.setattr(data_utils, "MAX_MEMBERS", 3)
    with pytest.raises(ValueError, match="more than 3 members"):
        archive(content)
    assert files_in(caches[1]) == ["archive"]


def test_tar_with_a_huge_extended_header(archive):
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 1 << 33
    with pytest.raises(ValueError, match="oversized header"):
        archive(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))


@pytest.mark.parametrize(
    "content",
    [
        TAR[:4096],
        gzip.compress(TAR)[:200],
        gzip.compress(TAR)[:-8] + bytes(8),
        ZIP[:300] + b"\xff" * 20 + ZIP[320:],
    ],
    ids=["tar", "gzip", "gzip checksum", "zip"],
)
def test_damaged_archive_leaves_nothing_behind(archive, caches, content):
    with pytest.raises(RuntimeError, match=r"Could not unpack .*delete it"):
        archive(content)
    assert files_in(caches[1]) == ["archive"]
    assert [p.name for p in caches[1].iterdir()] == ["archive"]
