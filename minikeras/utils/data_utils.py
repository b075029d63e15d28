"""Files from the network: a cache, a download that is whole or not there, a wary unpacker.

A file is downloaded beside its place in the cache, checked, and only then moved into it. An
archive is unpacked beside its destination, and only then moved into it. What goes wrong on
the way leaves the cache as it was.

Two folders are searched for a file. `~/.keras` (or the folder that the environment variable
`KERAS_HOME` names) is Keras' own: what is there is used, but nothing is downloaded to it.
`~/.minikeras` (or the folder that `MINIKERAS_HOME` names) is where downloads go.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from minikeras.utils.enqueuers import GeneratorEnqueuer as GeneratorEnqueuer
from minikeras.utils.enqueuers import OrderedEnqueuer as OrderedEnqueuer
from minikeras.utils.enqueuers import SequenceEnqueuer as SequenceEnqueuer
from minikeras.utils.sequence import Sequence as Sequence
from minikeras.utils.warning import warn

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Iterator
    from typing import IO

TIMEOUT = 30.0  # seconds without a byte from the server
CHUNK = 1 << 16  # bytes read at a time

# What an archive may unpack to. A real data set stays well below; a bomb does not.
MAX_MEMBERS = 500_000
MAX_BYTES = 16 << 30
MAX_HEADER = 1 << 20

_DIGITS = {"sha256": 64, "md5": 32}  # length of each kind of hash, in hexadecimal


def get_file(
    fname: str,
    origin: str,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | abc.Sequence[str] | None = "auto",
    cache_dir: str | None = None,
) -> str:
    """Return the path of a file in the cache; download it first if it is not there.

    The file is looked for in Keras' cache, then in that of minikeras (see the top of this
    module), and downloaded to the latter. A file with the wrong hash counts as missing.

    Parameters
    ----------
    fname : str
        Name of the file in the cache, without folders.
    origin : str
        Its URL, `https://` or `http://`. A redirect from https to http is refused.
    untar : bool, default False
        The older form of `extract`: the file is kept as `fname + ".tar.gz"`, unpacked
        unless `fname` is already there, and the path of `fname` is returned.
    md5_hash : str, optional
        The older form of `file_hash` with `hash_algorithm="md5"`.
    file_hash : str, optional
        Expected hash of the file, in hexadecimal. None: not checked.
    cache_subdir : str, default "datasets"
        Folder within the cache. If absolute, it is used instead of the cache.
    hash_algorithm : {"auto", "sha256", "md5"}, default "auto"
        "auto" tells it from the length of the hash.
    extract : bool, default False
        Unpack the file beside itself. Only regular files and directories are unpacked:
        an archive with links, devices or names that lead outside is refused whole.
        Permissions and times are not kept.
    archive_format : {"auto", "tar", "zip"}, sequence of these or None, default "auto"
        Formats to try for `extract`; "auto" tries both. "tar" includes its gzip, bzip2
        and xz forms. None or an empty sequence: do not unpack.
    cache_dir : str, optional
        Folder of the cache instead of the two above.

    Returns
    -------
    str
        Path of the file, or with `untar` of what it unpacks to.

    Raises
    ------
    ValueError
        If `fname` has folders in it, the URL is of another kind, the hash is malformed or
        not that of the downloaded file, or the archive is refused or of unknown format.
    RuntimeError
        If the download or the unpacking fails. The message names the URL, the path where
        you can put the file yourself, and the reason.

    Notes
    -----
    Keras 2.2.4 writes to `~/.keras`, or to `/tmp/.keras` if it may not write there; and it
    checks the hash of a file that it finds, but not of one that it downloads.
    """
    _check_name(fname)
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    if file_hash is not None:
        hash_algorithm = _algorithm_of(file_hash, hash_algorithm)
    formats = _archive_formats(archive_format)

    file_name = fname + ".tar.gz" if untar else fname
    folders = _folders(cache_subdir, cache_dir)
    path = _valid_copy(folders, file_name, file_hash, hash_algorithm)
    if path is None:
        path = os.path.join(folders[-1], file_name)
        _download(origin, path, file_hash, hash_algorithm)
    folder = os.path.dirname(path)
    if untar:
        unpacked = os.path.join(folder, fname)
        if not os.path.exists(unpacked):
            _extract(path, folder, ("tar",))
        return unpacked
    if extract and formats:
        _extract(path, folder, formats)
    return path


def cached_file(
    fname: str, cache_subdir: str = "datasets", cache_dir: str | None = None
) -> str | None:
    """Return the path of a file that is already in the cache, or None.

    It looks where `get_file` looks, and takes the same parameters. Nothing is downloaded
    and no hash is checked.
    """
    _check_name(fname)
    return _valid_copy(_folders(cache_subdir, cache_dir), fname, None, "auto")


def validate_file(
    fpath: str, file_hash: str, algorithm: str = "auto", chunk_size: int = 65535
) -> bool:
    """Tell whether a file has the expected hash.

    Parameters
    ----------
    fpath : str
        Path of the file.
    file_hash : str
        Expected hash, in hexadecimal.
    algorithm : {"auto", "sha256", "md5"}, default "auto"
        "auto" tells it from the length of the hash.
    chunk_size : int, default 65535
        Bytes to read at a time.

    Returns
    -------
    bool
        True if the hash is the expected one.

    Raises
    ------
    ValueError
        If the algorithm is unknown or the hash has the wrong length for it.
    """
    algorithm = _algorithm_of(file_hash, algorithm)
    return _hash_of(fpath, algorithm, chunk_size) == file_hash.lower()


# The cache.


def _check_name(fname: str) -> None:
    plain = fname == os.path.basename(fname) and not set(fname) & {"/", "\\", "\0"}
    if not plain or fname in ("", ".", ".."):
        raise ValueError(
            f"fname must be a plain file name, got {fname!r}. "
            "Name folders with cache_dir and cache_subdir."
        )


def _folders(cache_subdir: str, cache_dir: str | None) -> list[str]:
    """Return the folders where a file may be; downloads go to the last."""
    if cache_dir is not None:
        homes = [cache_dir]
    else:
        homes = [
            os.environ.get("KERAS_HOME") or "~/.keras",
            os.environ.get("MINIKERAS_HOME") or "~/.minikeras",
        ]
    return [os.path.join(os.path.expanduser(home), cache_subdir) for home in homes]


def _valid_copy(folders: list[str], name: str, file_hash: str | None, algorithm: str) -> str | None:
    for folder in folders:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            continue
        if file_hash is None or validate_file(path, file_hash, algorithm):
            return path
        warn(
            f"{path} does not have the expected {algorithm} {file_hash}: it is incomplete or "
            "of another version, and is not used."
        )
    return None


def _algorithm_of(file_hash: str, algorithm: str) -> str:
    """Return "sha256" or "md5"; refuse a hash that no file could have."""
    if algorithm not in ("auto", *_DIGITS):
        raise ValueError(
            f"The hash algorithm must be 'auto', 'sha256' or 'md5', got {algorithm!r}."
        )
    for name, digits in _DIGITS.items():
        if algorithm in ("auto", name) and len(file_hash) == digits:
            return name
    raise ValueError(
        f"A hash has 64 hexadecimal digits for sha256 and 32 for md5, got {file_hash!r} "
        f"({len(file_hash)}) for algorithm {algorithm!r}."
    )


def _hash_of(path: str, algorithm: str, chunk_size: int = CHUNK) -> str:
    import hashlib

    digest = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()


# The download.


def _download(origin: str, target: str, file_hash: str | None, algorithm: str) -> None:
    """Download to a file beside `target`, check it, move it there."""
    from http.client import HTTPException

    _check_url(origin)
    # The name is our own, so that two processes do not write to the same file.
    part = f"{target}.{os.urandom(6).hex()}.part"
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(part, "xb") as file:
            _fetch(origin, file, os.path.basename(target))
            file.flush()
            os.fsync(file.fileno())
        if file_hash is not None:
            _check_hash(part, origin, file_hash, algorithm)
        os.replace(part, target)
    except (OSError, HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise RuntimeError(
            f"Could not download {origin} to {target}: {reason}. Without a network, get the "
            f"file by other means and put it at {target}. Another folder can be chosen with "
            "cache_dir or the environment variable MINIKERAS_HOME."
        ) from error
    finally:
        if os.path.exists(part):
            os.remove(part)


def _check_hash(path: str, origin: str, file_hash: str, algorithm: str) -> None:
    found = _hash_of(path, algorithm)
    if found != file_hash.lower():
        raise ValueError(
            f"The file downloaded from {origin} was not kept: its {algorithm} is {found}, "
            f"expected {file_hash}. Either the file there has changed, or it was altered on "
            "the way."
        )


def _fetch(origin: str, file: IO[bytes], label: str) -> None:
    """Write the body of a response to `file`, with a progress bar."""
    from tqdm import tqdm

    received = 0
    with (
        _open_url(origin) as response,
        tqdm(
            total=response.length, unit="B", unit_scale=True, unit_divisor=1024, desc=label
        ) as bar,
    ):
        length = response.length  # None if the server does not say
        while chunk := response.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
    if length is not None and received != length:
        raise ConnectionError(f"the connection closed after {received} of {length} bytes")


def _check_url(url: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise ValueError(
            f"origin must be a URL that begins with https:// or http://, got {url!r}. "
            "A file on this machine needs no get_file: use its path."
        )


def _open_url(url: str) -> Any:
    """Open a URL; say in plain words why it cannot be."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, build_opener

    request = Request(url, headers={"User-Agent": "minikeras"})
    try:
        return build_opener(_safe_redirects()).open(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        raise ConnectionError(f"the server answered {error.code} ({error.reason})") from error
    except URLError as error:
        raise ConnectionError(str(error.reason)) from error


def _safe_redirects() -> Any:
    """Return a handler that follows redirects, but only to where `origin` could point too."""
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import HTTPRedirectHandler

    class SafeRedirects(HTTPRedirectHandler):
        def redirect_request(
            self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Any:
            old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
            if new != "https" and not (old == new == "http"):
                reason = f"redirected from {old} to {newurl}, which is refused"
                raise HTTPError(req.full_url, code, reason, headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return SafeRedirects()


# The unpacker.


def _archive_formats(archive_format: str | abc.Sequence[str] | None) -> tuple[str, ...]:
    if archive_format is None:
        return ()
    if archive_format == "auto":
        return ("tar", "zip")
    formats = (archive_format,) if isinstance(archive_format, str) else tuple(archive_format)
    if not set(formats) <= {"tar", "zip"}:
        raise ValueError(
            f"archive_format must be 'auto', 'tar', 'zip', several of these or None, "
            f"got {archive_format!r}."
        )
    return formats


def _extract(path: str, folder: str, formats: abc.Sequence[str]) -> None:
    """Unpack an archive into `folder`, all of it or nothing."""
    import zipfile

    if "tar" in formats and _is_tar(path):
        members = _tar_members(path)
    elif "zip" in formats and zipfile.is_zipfile(path):
        members = _zip_members(path)
    else:
        raise ValueError(f"{path} is not an archive of format {' or '.join(formats)}.")
    try:
        _unpack(members, folder)
    except ValueError as error:
        raise ValueError(f"Refused to unpack {path}: {error}") from error
    except Exception as error:  # tarfile and zipfile let through the errors of many modules
        raise RuntimeError(
            f"Could not unpack {path} into {folder}: {type(error).__name__}: {error}. "
            "If the archive is damaged, delete it and call get_file again."
        ) from error


def _unpack(members: Iterator[tuple[str, IO[bytes] | None]], folder: str) -> None:
    import shutil
    import tempfile

    staging = tempfile.mkdtemp(prefix=".unpack-", dir=folder)
    try:
        for staged, target in _stage(members, os.path.realpath(folder), staging):
            if staged is None:
                os.makedirs(target, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(staged, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stage(
    members: Iterator[tuple[str, IO[bytes] | None]], root: str, staging: str
) -> list[tuple[str | None, str]]:
    """Write each file to `staging` under a number; return (file or None, destination)."""
    places: list[tuple[str | None, str]] = []
    total = 0
    for number, (name, content) in enumerate(members):
        if number == MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS} members.")
        target = _destination(root, name)
        if content is None:
            places.append((None, target))
            continue
        staged = os.path.join(staging, str(number))
        with content, open(staged, "xb") as file:
            while chunk := content.read(CHUNK):
                total += len(chunk)
                if total > MAX_BYTES:
                    raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes.")
                file.write(chunk)
        places.append((staged, target))
    return places


def _destination(root: str, name: str) -> str:
    """Return where a member goes; refuse a name that leads out of `root`."""
    absolute = name.startswith("/") or os.path.splitdrive(name)[0]
    if absolute or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise ValueError(f"the name of its member {name!r} may lead out of the folder.")
    # A link that was in the folder before could still lead out.
    target = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, target]) != root:
        raise ValueError(f"its member {name!r} would go to {target}, outside of {root}.")
    return target


def _tar_members(path: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield each member's name and open content (None: a directory), in the file's order."""
    import tarfile

    with _decompressed(path) as file:
        reader: Any = _ShortReads(file)
        with tarfile.open(fileobj=reader, mode="r:") as archive:
            for entry in archive:
                if entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    yield entry.name, archive.extractfile(entry)
                elif entry.isdir():
                    yield entry.name, None
                else:
                    raise ValueError(f"its member {entry.name!r} is no regular file or directory.")
        file.read(MAX_HEADER)  # to the end, where a compressed file has its checksum


def _zip_members(path: str) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield each member's name and open content (None: a directory)."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            # The upper half holds the Unix mode; 0 if the archive was made elsewhere.
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"its member {entry.filename!r} is no regular file or directory.")
            yield entry.filename, None if entry.is_dir() else archive.open(entry)


def _is_tar(path: str) -> bool:
    """Tell whether a file begins with the header of a tar file, compressed or not."""
    import tarfile

    try:
        with _decompressed(path) as file:
            tarfile.TarInfo.frombuf(file.read(512), "utf-8", "surrogateescape")
    except Exception:  # whatever the file is, it does not begin like this
        return False
    return True


def _decompressed(path: str) -> Any:
    """Open a file that gzip, bzip2, xz or nothing has compressed."""
    with open(path, "rb") as file:
        head = file.read(6)
    if head.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.open(path)
    if head.startswith(b"BZh"):
        import bz2

        return bz2.open(path)
    if head == b"\xfd7zXZ\x00":
        import lzma

        return lzma.open(path)
    return open(path, "rb")


class _ShortReads:
    """A file that is only read piece by piece.

    `tarfile` reads an extended header in one go, whatever size it declares: a few
    compressed kilobytes could ask for any amount of memory.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ValueError("it has an oversized header.")
        return self._file.read(size)
