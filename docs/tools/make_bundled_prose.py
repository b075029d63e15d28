"""Make the file of prose that minikeras ships, from the packages that hold the books.

    apt-get download r-cran-janeaustenr r-cran-tokenizers
    apt-get download golang-github-pierrec-lz4-dev golang-1.19-src
    for package in *.deb; do dpkg -x "$package" books; done
    python docs/tools/make_bundled_prose.py books

The packages are Debian's; the books in them are in the public domain. What comes out is the same
on every machine, as far as the compressed bytes go given the same zlib.

`authors.npz` holds the text (UTF-8 bytes), where each author's part starts in it (in characters),
and for each passage where it begins and ends, whose it is, and whether it is for testing. Words and
their numbers follow from the text, so they are not stored.
"""

from __future__ import annotations

import argparse
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minikeras.datasets.authors import AUTHORS, words_of

OUT = Path(__file__).resolve().parents[2] / "minikeras" / "datasets" / "authors.npz"

WORDS = 70_000  # of each author: what the shortest book has
TEST = 0.2  # share of an author's words, at the end, that is for testing
LEAST, MOST = 60, 120  # words in a passage

# Curly quotation marks, single and double, made straight.
STRAIGHT = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}


class Book(NamedTuple):
    """Where a book is: a file in the packages, and the words with which its prose begins."""

    file: str
    opening: str


BOOKS = {
    "Jane Austen": Book("janeaustenr/data/Rdata.rdb", "It is a truth universally acknowledged"),
    "Arthur Conan Doyle": Book("lz4/testdata/pg1661.txt", "To Sherlock Holmes she is always"),
    "Herman Melville": Book("tokenizers/data/Rdata.rdb", "Call me Ishmael."),
    "Isaac Newton": Book("src/testdata/Isaac.Newton-Opticks.txt", "My Design in this Book is"),
    "Mark Twain": Book("lz4/testdata/Mark.Twain-Tom.Sawyer.txt", '"TOM!"\n\nNo answer.'),
}


# Reading.


def find(folder: Path, book: Book) -> str:
    """Return the text of a book from its opening words on."""
    (path,) = [path for path in folder.rglob(Path(book.file).name) if _ends(path, book.file)]
    texts = r_texts(path) if path.suffix == ".rdb" else [path.read_text("utf-8-sig")]
    (text,) = [text for text in texts if book.opening in text]
    return text[text.index(book.opening) :].split("*** END OF")[0]


def _ends(path: Path, file: str) -> bool:
    return path.as_posix().endswith("/" + file)


def r_texts(path: Path) -> Iterator[str]:
    """Yield each vector of strings in a database of R, its strings joined as lines.

    The database is a row of objects: four bytes with the length, then the object, compressed.
    """
    content = path.read_bytes()
    while content:
        reader = zlib.decompressobj()
        data = reader.decompress(content[4:])
        content = reader.unused_data
        yield "\n".join(r_strings(data))


def r_strings(data: bytes) -> Iterator[str]:
    """Yield the strings of a vector that R has serialized (format 3, big-endian).

    After a header come the vector's type and length. Each string has its own type and length.
    """
    (encoding_length,) = struct.unpack_from(">i", data, 14)
    place = 18 + encoding_length
    kind, count = struct.unpack_from(">ii", data, place)
    if kind & 255 != 16:
        raise ValueError(f"expected a vector of strings (type 16), got type {kind & 255}")
    place += 8
    for _ in range(count):
        _, length = struct.unpack_from(">ii", data, place)
        place += 8
        yield data[place : place + length].decode("utf-8")
        place += length


# Cleaning.


def clean(text: str) -> list[str]:
    """Return the paragraphs of the prose, each as one line."""
    text = text.replace("\r\n", "\n").translate(STRAIGHT)
    text = re.sub(r"\[Greek: (\w+)\]", r"\1", text)  # the letters of Newton's figures
    text = re.sub(r"\[[A-Z]\]", "", text)  # the marks of his notes
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip() and not is_set_apart(p)]
    return [" ".join(p.replace("_", "").split()) for p in paragraphs]


def is_set_apart(paragraph: str) -> bool:
    """Tell whether a paragraph is no prose: a heading, a verse, a table, a figure or a note."""
    if re.match(r"\s*(chapter [\divxl]+\b|\[illustration|\[[a-z]\]|\[\d+\])", paragraph, re.I):
        return True
    if re.search(r"^ {2,}|\S {3,}|\||\*\s+\*", paragraph, re.M):
        return True
    return not re.search(r'[a-z"]', paragraph)


# Cutting.


def first_words(paragraphs: list[str], count: int) -> list[str]:
    """Return as many paragraphs as have `count` words."""
    taken = []
    for paragraph in paragraphs:
        if count <= 0:
            return taken
        taken.append(paragraph)
        count -= len(words_of(paragraph))
    if count > 0:
        raise ValueError(f"the book is {count} words too short")
    return taken


def cut(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Yield where the passages of a text begin and end, counted from `start`.

    A passage ends with the first sentence that makes it long enough; within a sentence only
    where it would become too long.
    """
    begin, end, count = None, 0, 0
    for match in re.finditer(r"\S+", text):
        size = len(words_of(match[0]))
        if begin is not None and count + size > MOST:
            yield start + begin, start + end
            begin, count = None, 0
        if begin is None:
            begin = match.start()
        end = match.end()
        count += size
        if count >= LEAST and re.search(r"[.!?][\"')\]]*$", match[0]):
            yield start + begin, start + end
            begin, count = None, 0


def make(folder: Path) -> Path:
    """Write the file; return its path."""
    texts, places, authors, is_test = [], [], [], []
    starts = [start := 0]
    for number, author in enumerate(AUTHORS):
        paragraphs = first_words(clean(find(folder, BOOKS[author])), WORDS)
        part = first_words(paragraphs, round((1 - TEST) * WORDS))
        for test, piece in enumerate([part, paragraphs[len(part) :]]):
            text = "\n\n".join(piece) + "\n\n"
            found = list(cut(text, start))
            places += found
            authors += [number] * len(found)
            is_test += [test] * len(found)
            texts.append(text)
            start += len(text)
        starts.append(start)
    np.savez_compressed(
        OUT,
        text=np.frombuffer("".join(texts).encode("utf-8"), np.uint8),
        start=np.array(starts, np.uint32),
        begin=np.array([begin for begin, _ in places], np.uint32),
        end=np.array([end for _, end in places], np.uint32),
        author=np.array(authors, np.uint8),
        is_test=np.array(is_test, bool),
    )
    return OUT


def main() -> None:
    """Make the file from the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Make the file of prose that minikeras ships.")
    parser.add_argument("folder", type=Path, help="where the packages are unpacked")
    path = make(parser.parse_args().folder)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
