"""Weights as images."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from minikeras import backend as K

#: As many images of one weight as TensorFlow writes.
MAX_IMAGES = 3


def pictures(weight: np.ndarray) -> list[np.ndarray]:
    """Return a weight as matrices, none if it has too many axes.

    Parameters
    ----------
    weight : ndarray
        Axes of length 1 do not count. A matrix is one picture, lying on its longer side; a vector
        is a column. With three axes, as in the kernel of a convolution on one channel, there is
        a picture for each entry along the last, the first with ``channels_first`` images.

    Returns
    -------
    list of ndarray
        No more than `MAX_IMAGES`.

    Examples
    --------
    >>> [picture.shape for picture in pictures(np.zeros((784, 10)))]
    [(10, 784)]
    >>> [picture.shape for picture in pictures(np.zeros((3, 5, 1, 32)))]
    [(3, 5), (3, 5), (3, 5)]
    """
    weight = np.squeeze(weight)
    if weight.size == 0:
        return []
    if weight.ndim == 1:
        return [weight[:, np.newaxis]]
    if weight.ndim == 2:
        return [weight.T if weight.shape[0] > weight.shape[1] else weight]
    if weight.ndim == 3:
        if K.image_data_format() == "channels_last":
            weight = np.moveaxis(weight, -1, 0)
        return list(weight[:MAX_IMAGES])
    return []


def gray(picture: np.ndarray) -> np.ndarray:
    """Scale a matrix to bytes.

    Without negative values 0 is black and the largest white. With some, 0 is mid-gray and the
    largest magnitude black or white. NaN and infinity are white.

    Examples
    --------
    >>> gray(np.array([[0.0, 2.0]])).tolist(), gray(np.array([[-1.0, 0.0, 1.0]])).tolist()
    ([[0, 255]], [[1, 128, 255]])
    """
    picture = picture.astype("float32")
    finite = np.isfinite(picture)
    least = picture.min(where=finite, initial=np.inf)
    largest = np.abs(picture).max(where=finite, initial=0)
    span, offset = (127, 128) if least < 0 else (255, 0)
    scale = np.float32(span / largest if largest >= 1e-6 else 0)
    scaled = np.where(finite, picture, 0) * scale + np.float32(offset)
    return np.where(finite, scaled, 255).astype("uint8")


def png(pixels: np.ndarray) -> bytes:
    """Return a matrix of bytes as a gray PNG file."""
    height, width = pixels.shape
    # Before each row: how it is filtered, which is not at all.
    rows = np.concatenate([np.zeros((height, 1), "uint8"), pixels], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def image_proto(picture: np.ndarray) -> Any:
    """Return a matrix as a ``Summary.Image``."""
    from tensorboardX.proto.summary_pb2 import Summary

    height, width = picture.shape
    return Summary.Image(
        height=height, width=width, colorspace=1, encoded_image_string=png(gray(picture))
    )
