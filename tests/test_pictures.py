"""A table of kinds of image file, each with the points that must come out of it, worked out by hand.

`kinds` holds one function for each kind: it writes a file and returns the red, green and blue points expected.
Refusals, hostile files, memory and other forms of pictures (bytes, arrays, tensors) follow below the table.
"""
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from PIL import __version__ as pillow_version
from PIL.BmpImagePlugin import DibImageFile
from PIL.PngImagePlugin import PngImageFile

from siamese_nbdev import pictures
from siamese_nbdev.checks import InputError
from siamese_nbdev.data import check_images, read_image
from siamese_nbdev.pictures import pixels_of
from siamese_nbdev.server import Rules, check_upload

# Every picture is 3 rows of 4 points, so that none of its sides can be mistaken for another, or for bands.
shape = (3, 4)
ramp = (np.arange(12).reshape(shape) * 23).astype(np.uint8)  # grey, 0 to 253
colours = np.stack([ramp, ramp[::-1], 255 - ramp], axis=2)
opacity = np.array([[0, 51, 102, 255]] * 3, np.uint8)  # 0, 1/5, 2/5 and 1
kinds = {}
refused = {}


def kind(name, tolerance=0):
    "Enter a function that writes a file of such a name into the table."
    def enter(write):
        kinds[name] = (write, tolerance)
        return write
    return enter


def refusal(name, *words):
    "Enter a function that writes a file which must be refused with such words."
    def enter(write):
        refused[name] = (write, words)
        return write
    return enter


def grey(values):
    "Give grey points three equal colours."
    return np.repeat(np.asarray(values)[:, :, None], 3, axis=2)


def on_white(points, alpha):
    "Lay points of some opacity, 0 to 255, on white."
    points = np.asarray(points, float)
    share = np.asarray(alpha, float)[:, :, None] / 255
    return np.rint(points * share + 255 * (1 - share))


def shades(values, white):
    "Stretch numbers so that `white` becomes 255."
    return np.rint(np.asarray(values, float) * 255 / white).clip(0, 255)


def png(path, bits, colour, rows, *chunks, after=(), interlace=0):
    "Write a PNG file by hand; rows are bytes without the filter byte."
    def chunk(name, data):
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
    height = len(rows)
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = len(rows[0]) * 8 // bits // bands
    parts = [chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, interlace))]
    parts += [chunk(name, data) for name, data in chunks]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))]
    parts += [chunk(name, data) for name, data in after] + [chunk(b"IEND", b"")]
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def exif(orientation):
    "Return EXIF notes that say how a picture lies."
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


def lying(points, orientation):
    "Return points as they must be stored for a viewer that turns them by this orientation."
    back = {
        1: points, 2: points[:, ::-1], 3: points[::-1, ::-1], 4: points[::-1], 5: points.swapaxes(0, 1),
        6: np.rot90(points), 7: points[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(points, -1),
    }
    return np.ascontiguousarray(back[orientation])


def tiff(path, tags, data, order="<", big=False):
    "Write a TIFF file by hand: one strip, tags given as {number: (type, values)}; None leaves a usual one out."
    sizes = {1: "B", 2: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 16: "Q"}
    head, count, entry = (16, "Q", 20) if big else (8, "H", 12)
    room = 8 if big else 4
    tags = {259: (3, [1]), 273: (4, [head]), 279: (4, [len(data)])} | tags
    tags = {number: value for number, value in sorted(tags.items()) if value}
    directory_at = head + len(data) + len(data) % 2
    extra_at = directory_at + struct.calcsize(order + count) + len(tags) * entry + room
    extra, entries = b"", b""
    for number, (kind_of, values) in tags.items():
        packed = struct.pack(f"{order}{len(values)}{sizes[kind_of]}", *values)
        if len(packed) > room:
            value = struct.pack(order + ("Q" if big else "L"), extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            value = packed.ljust(room, b"\0")
        entries += struct.pack(f"{order}HH{'Q' if big else 'L'}", number, kind_of, len(values)) + value
    magic = b"II" if order == "<" else b"MM"
    start = magic + (struct.pack(order + "HHHQ", 43, 8, 0, directory_at) if big else
                     struct.pack(order + "HL", 42, directory_at))
    body = data + b"\0" * (len(data) % 2) + struct.pack(order + count, len(tags)) + entries
    Path(path).write_bytes(start + body + struct.pack(order + ("Q" if big else "L"), 0) + extra)


def grey_tags(bits, meaning=1, bands=1, **more):
    "Return the tags of a TIFF page of our size."
    tags = {256: (3, [4]), 257: (3, [3]), 258: (3, [bits] * bands), 262: (3, [meaning])}
    tags |= {277: (3, [bands]), 278: (3, [3])}
    return tags | {int(name[1:]): value for name, value in more.items()}


def packed(values, bits):
    "Pack whole numbers of any few bits, each row to full bytes."
    each = (np.asarray(values)[:, :, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(each.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


# --- PNG -------------------------------------------------------------------------------------------------------------

@kind("rgb.png")
def _(path):
    Image.fromarray(colours).save(path)
    return colours


@kind("grey.png")
def _(path):
    Image.fromarray(ramp).save(path)
    return grey(ramp)


@kind("one-bit.png")
def _(path):
    Image.fromarray(np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1]], bool)).save(path)
    return grey(np.array([[255, 0, 255, 0], [0, 255, 0, 255], [255] * 4]))


@kind("two-bits.png")
def _(path):
    png(path, 2, 0, [b"\x1b", b"\xe4", b"\x00"])
    return grey([[0, 85, 170, 255], [255, 170, 85, 0], [0] * 4])


@kind("four-bits.png")
def _(path):
    png(path, 4, 0, [b"\x01\x2f", b"\xf0\x70", b"\x00\x0f"])
    return grey([[0, 17, 34, 255], [255, 0, 119, 0], [0, 0, 0, 255]])


@kind("grey16.png")
def _(path):
    values = (ramp.astype(np.uint16) * 257)
    values[0, 1] = 5911 + 100  # 23.4: 23 after rounding
    Image.fromarray(values).save(path)
    return grey(ramp)


@kind("rgb16.png")
def _(path):
    values = colours.astype(np.uint16) * 257
    values[0, 0, 0] = 65535 - 129  # 254.498
    values[1, 1, 1] = 500  # 1.95: the upper byte alone would say 1
    png(path, 16, 2, [row.astype(">u2").tobytes() for row in values])
    return shades(values, 65535)


@kind("rgba16.png")
def _(path):
    values = np.dstack([colours, opacity]).astype(np.uint16) * 257
    png(path, 16, 6, [row.astype(">u2").tobytes() for row in values])
    return on_white(colours, opacity)


@kind("grey-alpha16.png", 1)
def _(path):
    values = np.dstack([ramp, opacity]).astype(np.uint16) * 257
    png(path, 16, 4, [row.astype(">u2").tobytes() for row in values])
    return on_white(grey(ramp), opacity)


@kind("rgba.png")
def _(path):
    Image.fromarray(np.dstack([colours, opacity])).save(path)
    return on_white(colours, opacity)


@kind("grey-alpha.png")
def _(path):
    Image.fromarray(np.dstack([ramp, opacity]), "LA").save(path)
    return on_white(grey(ramp), opacity)


@kind("palette.png")
def _(path):
    png(path, 8, 3, [bytes([0, 1, 2, 0])] * 3, (b"PLTE", bytes([255, 0, 0, 0, 200, 0, 0, 0, 100])))
    return np.array([[(255, 0, 0), (0, 200, 0), (0, 0, 100), (255, 0, 0)]] * 3)


@kind("palette-clear.png")
def _(path):
    plte = (b"PLTE", bytes([255, 0, 0, 0, 200, 0, 0, 0, 100]))
    png(path, 8, 3, [bytes([0, 1, 2, 0])] * 3, plte, (b"tRNS", bytes([0, 51])))
    return np.array([[(255, 255, 255), (204, 244, 204), (0, 0, 100), (255, 255, 255)]] * 3)


@kind("palette-two-bits.png")
def _(path):
    png(path, 2, 3, [b"\x18"] * 3, (b"PLTE", bytes([255, 0, 0, 0, 200, 0, 0, 0, 100])))
    return np.array([[(255, 0, 0), (0, 200, 0), (0, 0, 100), (255, 0, 0)]] * 3)


@kind("grey-clear.png")
def _(path):
    png(path, 8, 0, [row.tobytes() for row in ramp], (b"tRNS", struct.pack(">H", 46)))
    return grey(np.where(ramp == 46, 255, ramp))


@kind("two-bits-clear.png")
def _(path):
    png(path, 2, 0, [b"\x1b", b"\xe4", b"\x00"], (b"tRNS", struct.pack(">H", 1)))
    return grey([[0, 255, 170, 255], [255, 170, 255, 0], [0] * 4])


@kind("one-bit-clear.png")
def _(path):
    png(path, 1, 0, [b"\xaa"] * 3, (b"tRNS", struct.pack(">H", 0)))
    return grey(np.full((3, 8), 255))


@kind("grey16-clear.png")
def _(path):
    values = ramp.astype(np.uint16) * 257
    png(path, 16, 0, [row.astype(">u2").tobytes() for row in values], (b"tRNS", struct.pack(">H", 46 * 257)))
    return grey(np.where(ramp == 46, 255, ramp))


@kind("rgb-clear.png")
def _(path):
    png(path, 8, 2, [row.tobytes() for row in colours], (b"tRNS", struct.pack(">HHH", *map(int, colours[1, 2]))))
    expected = colours.copy()
    expected[1, 2] = 255
    return expected


@kind("rgb16-clear.png")
def _(path):
    values = colours.astype(np.uint16) * 257
    values[0, 0] = values[1, 2] + np.array([1, 0, 0], np.uint16)  # almost the clear colour
    clear = (b"tRNS", struct.pack(">HHH", *map(int, values[1, 2])))
    png(path, 16, 2, [row.astype(">u2").tobytes() for row in values], clear)
    expected = shades(values, 65535)
    expected[1, 2] = 255
    return expected


@kind("grey.apng.png")
def _(path):
    frames = [Image.fromarray(ramp), Image.fromarray(255 - ramp), Image.fromarray(ramp // 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert Image.open(path).n_frames == 3
    return grey(ramp)


@kind("exif-late.png")
def _(path):
    notes = exif(6).tobytes()[6:]
    png(path, 8, 2, [row.tobytes() for row in lying(colours, 6)], after=[(b"eXIf", notes)])
    return colours


for number in range(1, 9):
    @kind(f"turned-{number}.png")
    def _(path, number=number):
        Image.fromarray(lying(colours, number)).save(path, exif=exif(number))
        return colours

    @kind(f"turned-{number}.tif")
    def _(path, number=number):
        Image.fromarray(lying(colours, number)).save(path, exif=exif(number))
        return colours

    @kind(f"turned-lzw-{number}.tif")
    def _(path, number=number):
        stored = lying(np.dstack([colours, opacity]), number)
        Image.fromarray(stored).save(path, exif=exif(number), compression="tiff_lzw")
        return on_white(colours, opacity)

    @kind(f"turned-deep-{number}.tif")
    def _(path, number=number):
        stored = lying(ramp, number)
        tags = grey_tags(16, t274=(3, [number]), t256=(3, [stored.shape[1]]), t257=(3, [stored.shape[0]]),
                         t278=(3, [stored.shape[0]]))
        tiff(path, tags, (stored.astype("<u2") * 257).tobytes())
        return grey(ramp)


@kind("turned-deep.png")
def _(path):
    Image.fromarray(lying(ramp, 6).astype(np.uint16) * 257).save(path, exif=exif(6))
    return grey(ramp)


@kind("turned-clear.png")
def _(path):
    Image.fromarray(lying(np.dstack([colours, opacity]), 6)).save(path, exif=exif(6))
    return on_white(colours, opacity)


@kind("turned-palette.png")
def _(path):
    picture = Image.fromarray(lying(ramp, 8), "P")
    picture.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
    picture.save(path, exif=exif(8), transparency=23)
    expected = np.stack([ramp, 255 - ramp, np.full_like(ramp, 7)], axis=2)
    expected[ramp == 23] = 255
    return expected


@kind("turned-by-nonsense.png")
def _(path):
    Image.fromarray(colours).save(path, exif=exif(9))
    return colours


# --- JPEG ------------------------------------------------------------------------------------------------------------

flat = np.full((16, 24, 3), (200, 60, 30), np.uint8)


@kind("flat.jpg", 4)
def _(path):
    Image.fromarray(flat).save(path, quality=95)
    return flat


@kind("grey.jfif", 2)
def _(path):
    Image.fromarray(flat[:, :, 0]).save(path, format="JPEG", quality=95)
    return grey(flat[:, :, 0])


@kind("progressive.jpe", 4)
def _(path):
    Image.fromarray(flat).save(path, format="JPEG", quality=95, progressive=True)
    return flat


@kind("inks.jpg", 4)
def _(path):
    inks = np.zeros((16, 24, 4), np.uint8)
    inks[:, :, 1] = 255  # all magenta
    Image.fromarray(inks, "CMYK").save(path, quality=98)
    return np.broadcast_to(np.uint8([255, 0, 255]), (16, 24, 3))


@kind("turned.jpg", 12)
def _(path):
    half = np.zeros((16, 24, 3), np.uint8)
    half[:, :8] = 255
    Image.fromarray(lying(half, 6)).save(path, quality=100, subsampling=0, exif=exif(6))
    return half


@kind("several.mpo", 4)
def _(path):
    other = Image.fromarray(255 - flat)
    Image.fromarray(flat).save(path, format="MPO", save_all=True, append_images=[other], quality=95)
    return flat


@kind("really-a-png.jpg")
def _(path):
    Image.fromarray(colours).save(path, format="PNG")
    return colours


@kind("really-a-jpeg.tif", 4)
def _(path):
    Image.fromarray(flat).save(path, format="JPEG", quality=95)
    return flat


@kind("really-a-tiff.png")
def _(path):
    Image.fromarray(colours).save(path, format="TIFF")
    return colours


# --- other formats ---------------------------------------------------------------------------------------------------

@kind("grey.gif")
def _(path):
    frames = [Image.fromarray(ramp), Image.fromarray(255 - ramp)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return grey(ramp)


@kind("clear.gif")
def _(path):
    picture = Image.fromarray(ramp // 100, "P")
    picture.putpalette([255, 0, 0, 0, 200, 0, 0, 0, 100])
    picture.save(path, transparency=1)
    return np.array([(255, 0, 0), (255, 255, 255), (0, 0, 100)])[ramp // 100]


@kind("rgb.webp")
def _(path):
    Image.fromarray(colours).save(path, lossless=True)
    return colours


@kind("clear.webp", 1)
def _(path):
    Image.fromarray(np.dstack([colours, opacity])).save(path, lossless=True, exact=True)
    return on_white(colours, opacity)


@kind("moving.webp")
def _(path):
    Image.fromarray(colours).save(path, lossless=True, save_all=True, append_images=[Image.fromarray(255 - colours)])
    return colours


@kind("turned.webp")
def _(path):
    Image.fromarray(lying(colours, 5)).save(path, lossless=True, exif=exif(5))
    return colours


for ending in ("bmp", "dib", "ppm", "pnm", "tga", "pcx", "qoi", "sgi", "tif", "tiff"):
    @kind(f"rgb.{ending}")
    def _(path):
        Image.fromarray(colours).save(path)
        return colours


@kind("rgb.jp2")
def _(path):
    Image.fromarray(colours).save(path)
    return colours


@kind("clear.jp2")
def _(path):
    Image.fromarray(np.dstack([colours, opacity])).save(path)
    return on_white(colours, opacity)


@kind("deep.jp2")
def _(path):
    Image.fromarray(ramp.astype(np.uint16) * 257).save(path)
    return grey(ramp)


@kind("flat.avif", 8)
def _(path):
    Image.fromarray(flat).save(path, quality=95)
    return flat


@kind("clear.tga")
def _(path):
    Image.fromarray(np.dstack([colours, opacity])).save(path)
    return on_white(colours, opacity)


@kind("fourth-byte-means-nothing.tga")
def _(path):
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 3, 32, 0x20)
    path.write_bytes(head + np.dstack([colours[:, :, ::-1], opacity]).tobytes())
    return colours


@kind("clear.ico")
def _(path):
    points = np.full((16, 16, 4), (10, 20, 30, 255), np.uint8)
    points[:8, :, 3] = 0
    Image.fromarray(points).save(path, sizes=[(16, 16)])
    return on_white(points[:, :, :3], points[:, :, 3])


@kind("grey.pgm")
def _(path):
    path.write_bytes(b"P5 4 3 255\n" + ramp.tobytes())
    return grey(ramp)


@kind("seven.pgm")
def _(path):
    values = np.arange(12).reshape(shape) % 8
    path.write_bytes(b"P5 4 3 7\n" + values.astype(np.uint8).tobytes())
    return grey(shades(values, 7))


@kind("ten-bits.pgm")
def _(path):
    values = np.arange(12).reshape(shape) * 93
    path.write_bytes(b"P5 4 3 1023\n" + values.astype(">u2").tobytes())
    return grey(shades(values, 1023))


@kind("dark.pgm")
def _(path):
    values = ramp.astype(np.uint16)
    path.write_bytes(b"P5 4 3 65535\n" + values.astype(">u2").tobytes())
    return grey(shades(values, 65535))


@kind("plain.pgm")
def _(path):
    path.write_text("P2\n# a letter\n4 3 100\n" + " ".join(str(value) for value in range(0, 96, 8)))
    return grey(shades(np.arange(0, 96, 8).reshape(shape), 100))


@kind("twelve-bits.ppm")
def _(path):
    values = colours.astype(np.uint16) * 16
    path.write_bytes(b"P6 4 3 4095\n" + values.astype(">u2").tobytes())
    return shades(values, 4095)


@kind("bits.pbm")
def _(path):
    path.write_bytes(b"P4 4 3\n" + bytes([0xa0, 0x50, 0xf0]))  # 1 is black
    return grey([[0, 255, 0, 255], [255, 0, 255, 0], [0] * 4])


@kind("decimal.pfm")
def _(path):
    path.write_bytes(b"Pf\n4 3\n-1.0\n" + (ramp[::-1] / np.float32(255)).astype("<f4").tobytes())
    return grey(ramp)


# --- TIFF ------------------------------------------------------------------------------------------------------------

for meaning in (0, 1):
    for bits in (1, 2, 4, 8, 10, 12, 14, 16, 32):
        for order in "<>":
            @kind(f"grey-{bits}-bits-{'white black'.split()[meaning]}-0-{'little' if order == '<' else 'big'}.tif")
            def _(path, meaning=meaning, bits=bits, order=order):
                full = 2 ** bits - 1
                values = np.rint(np.arange(12).reshape(shape) / 11 * full).astype(np.uint64)
                if bits in (16, 32):
                    data = values.astype(f"{order}u{bits // 8}").tobytes()
                else:
                    data = packed(values.astype(np.int64), bits)
                tiff(path, grey_tags(bits, meaning), data, order)
                seen = shades(values, full)
                return grey(seen if meaning else 255 - seen)


@kind("pages-of-grey-3.tif")
def _(path):
    Image.fromarray(ramp).save(path, save_all=True, append_images=[Image.fromarray(255 - ramp)] * 2)
    return grey(ramp)


@kind("pages-of-grey-4.tif")
def _(path):
    tifffile.imwrite(path, np.stack([ramp, 255 - ramp, ramp, ramp]), photometric="minisblack")
    return grey(ramp)


@kind("pages-of-rgb.tif")
def _(path):
    tifffile.imwrite(path, np.stack([colours, 255 - colours]), photometric="rgb")
    return colours


@kind("twelve-in-sixteen-declared.tif")
def _(path):
    values = ramp.astype(np.uint16) * 8
    tiff(path, grey_tags(16, t281=(3, [4095])), values.tobytes())
    return grey(shades(values, 4095))


@kind("twelve-in-sixteen-rgb-declared.tif")
def _(path):
    values = colours.astype(np.uint16) * 16
    tiff(path, grey_tags(16, 2, 3, t281=(3, [4095] * 3)), values.tobytes())
    return shades(values, 4095)


@kind("four-in-eight-declared.tif")
def _(path):
    values = ramp // 17
    tiff(path, grey_tags(8, t281=(3, [15])), values.tobytes())
    return grey(shades(values, 15))


@kind("dark-sixteen.tif")
def _(path):
    values = (ramp // 20).astype(np.uint16) * 257  # eight bits that were stretched: dark, and meant to be
    tifffile.imwrite(path, values)
    return grey(ramp // 20)


@kind("uint32-full.tif")
def _(path):
    values = ramp.astype(np.uint32) * 0x01010101
    tifffile.imwrite(path, values)
    return grey(ramp)


@kind("int16.tif")
def _(path):
    values = np.arange(12, dtype=np.int16).reshape(shape) * 2978
    tifffile.imwrite(path, values)
    return grey(shades(values, 32767))


@kind("int16-declared.tif")
def _(path):
    values = np.arange(12, dtype=np.int16).reshape(shape) * 100 - 600
    tiff(path, grey_tags(16, t339=(3, [2]), t340=(8, [-600]), t341=(8, [500])), values.tobytes())
    return grey(shades(values + 600, 1100))


@kind("int8.tif")
def _(path):
    values = np.arange(12, dtype=np.int8).reshape(shape) * 11
    tifffile.imwrite(path, values)
    return grey(shades(values, 127))


@kind("float-one.tif")
def _(path):
    tifffile.imwrite(path, ramp / np.float32(255))
    return grey(ramp)


@kind("float-255.tif")
def _(path):
    tifffile.imwrite(path, ramp.astype(np.float32))
    return grey(ramp)


@kind("float64-255.tif")
def _(path):
    tifffile.imwrite(path, ramp.astype(np.float64))
    return grey(ramp)


@kind("float16-one.tif", 1)
def _(path):
    tifffile.imwrite(path, (ramp / 255).astype(np.float16))
    return grey(ramp)


@kind("float-rgb.tif")
def _(path):
    tifffile.imwrite(path, colours / np.float32(255), photometric="rgb")
    return colours


@kind("float-white-is-zero.tif")
def _(path):
    tiff(path, grey_tags(32, 0, t339=(3, [3])), (ramp / 255).astype("<f4").tobytes())
    return grey(255 - ramp)


@kind("float-declared.tif")
def _(path):
    values = ramp.astype(np.float32) * 10 - 500
    tiff(path, grey_tags(32, t339=(3, [3]), t340=(11, [-500.0]), t341=(11, [2050.0])), values.tobytes())
    return grey(ramp)


@kind("rgb16.tif")
def _(path):
    tifffile.imwrite(path, colours.astype(np.uint16) * 257, photometric="rgb")
    return colours


@kind("rgb16-big.tif")
def _(path):
    tifffile.imwrite(path, colours.astype(np.uint16) * 257, photometric="rgb", byteorder=">")
    return colours


@kind("planes.tif")
def _(path):
    tifffile.imwrite(path, np.moveaxis(colours, 2, 0), photometric="rgb", planarconfig="separate")
    return colours


@kind("planes16-deflate.tif")
def _(path):
    values = np.moveaxis(colours, 2, 0).astype(np.uint16) * 257
    tifffile.imwrite(path, values, photometric="rgb", planarconfig="separate", compression="zlib", predictor=True)
    return colours


@kind("straight-alpha.tif")
def _(path):
    tifffile.imwrite(path, np.dstack([colours, opacity]), photometric="rgb", extrasamples=["unassalpha"])
    return on_white(colours, opacity)


@kind("premultiplied-alpha.tif")
def _(path):
    stored = np.rint(colours * (opacity[:, :, None] / 255)).astype(np.uint8)
    tifffile.imwrite(path, np.dstack([stored, opacity]), photometric="rgb", extrasamples=["assocalpha"])
    return stored + (255.0 - opacity[:, :, None])


@kind("grey-alpha.tif")
def _(path):
    values = np.dstack([ramp, opacity])
    tifffile.imwrite(path, values, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    return on_white(grey(ramp), opacity)


@kind("alpha16-turned.tif")
def _(path):
    values = lying(np.dstack([colours, opacity]), 6).astype(np.uint16) * 257
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, "H", 1, 6, True)])
    return on_white(colours, opacity)


@kind("inks.tif")
def _(path):
    inks = np.dstack([255 - colours, np.zeros(shape, np.uint8)])
    Image.fromarray(inks, "CMYK").save(path)
    return colours


@kind("inks16.tif")
def _(path):
    inks = np.dstack([255 - colours, np.zeros(shape, np.uint8)]).astype(np.uint16) * 257
    tiff(path, grey_tags(16, 5, 4), inks.tobytes())
    return colours


@kind("lab.tif", 3)
def _(path):
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    ImageCms.profileToProfile(Image.fromarray(flat), *profiles, outputMode="LAB").save(path)
    return flat


if int(pillow_version.split(".")[0]) >= 13:  # earlier ones write it and cannot read it
    @kind("ycbcr.tif", 2)
    def _(path):
        Image.fromarray(flat).convert("YCbCr").save(path)
        return flat


@kind("palette.tif")
def _(path):
    picture = Image.fromarray(ramp // 100, "P")
    picture.putpalette([255, 0, 0, 0, 200, 0, 0, 0, 100])
    picture.save(path)
    return np.array([(255, 0, 0), (0, 200, 0), (0, 0, 100)])[ramp // 100]


for codec in ("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "zstd", "lzma"):
    @kind(f"{codec}.tif")
    def _(path, codec=codec):
        Image.fromarray(colours).save(path, compression=codec)
        return colours

    @kind(f"{codec}-deep.tif")
    def _(path, codec=codec):
        Image.fromarray(ramp.astype(np.uint16) * 257).save(path, compression=codec)
        return grey(ramp)

    @kind(f"{codec}-float.tif")
    def _(path, codec=codec):
        Image.fromarray(ramp / np.float32(255)).save(path, compression=codec)
        return grey(ramp)


@kind("jpeg.tif", 4)
def _(path):
    Image.fromarray(flat).save(path, compression="jpeg", quality=95)
    return flat


for codec in ("group3", "group4", "tiff_ccitt"):
    @kind(f"{codec}.tif")
    def _(path, codec=codec):
        bits = np.zeros((16, 32), bool)
        bits[4:9, 5:20] = True
        Image.fromarray(bits).save(path, compression=codec)
        return grey(bits * 255)


@kind("lzw-predictor-16.tif")
def _(path):
    values = colours.astype(np.uint16) * 257
    Image.fromarray(ramp).save(path)  # only to have the file; Pillow writes no 16-bit colours
    steps = np.diff(values, axis=1, prepend=np.uint16(0)).astype("<u2")
    rows = Image.fromarray(steps.view(np.uint8).reshape(3, -1))
    held = io.BytesIO()
    rows.save(held, "TIFF", compression="tiff_lzw", tiffinfo={317: 1})
    written = Image.open(held)
    offset, size = written.tag_v2[273][0], written.tag_v2[279][0]
    tiff(path, grey_tags(16, 2, 3, t259=(3, [5]), t317=(3, [2])), held.getvalue()[offset:offset + size])
    return colours


@kind("float-predictor.tif")
def _(path):
    values = (colours / np.float32(255)).astype(">f4")
    planes = np.frombuffer(values.tobytes(), np.uint8).reshape(3, 12, 4).swapaxes(1, 2).reshape(3, -1)
    steps = planes.astype(np.int16).reshape(3, -1, 3)
    steps = np.diff(steps, axis=1, prepend=0).astype(np.uint8)
    tiff(path, grey_tags(32, 2, 3, t259=(3, [8]), t317=(3, [3]), t339=(3, [3])), zlib.compress(steps.tobytes()))
    return colours


@kind("tiles.tif")
def _(path):
    large = np.add.outer(np.arange(40), np.arange(70)).astype(np.uint8)
    tifffile.imwrite(path, np.dstack([large, large[::-1], 255 - large]), photometric="rgb", tile=(16, 32))
    return np.dstack([large, large[::-1], 255 - large])


@kind("tiles16-deflate.tif")
def _(path):
    large = np.add.outer(np.arange(40), np.arange(70) * 2).astype(np.uint16) * 257
    tifffile.imwrite(path, large, tile=(16, 32), compression="zlib", predictor=True)
    return grey(large // 257)


@kind("tiles-planes-big.tif")
def _(path):
    large = np.add.outer(np.arange(40), np.arange(70) * 2)
    points = np.dstack([large, large[::-1], 255 - large])
    values = np.moveaxis(points, 2, 0).astype(np.uint16) * 257
    layout = dict(planarconfig="separate", tile=(32, 16), byteorder=">", bigtiff=True)
    tifffile.imwrite(path, values, photometric="rgb", **layout)
    return points


@kind("strips16.tif")
def _(path):
    large = np.add.outer(np.arange(41), np.arange(70) * 2).astype(np.uint16) * 257
    tifffile.imwrite(path, large, rowsperstrip=7)
    return grey(large // 257)


@kind("bigtiff.tif")
def _(path):
    tiff(path, grey_tags(8), ramp.tobytes(), big=True)
    return grey(ramp)


@kind("bits-reversed.tif")
def _(path):
    turned = np.packbits(np.unpackbits(ramp[:, :, None], axis=2)[:, :, ::-1], axis=2)
    tiff(path, grey_tags(8, t266=(3, [2])), turned.tobytes())
    return grey(ramp)


@kind("four-bits-rgb.tif")
def _(path):
    values = colours // 17
    tiff(path, grey_tags(4, 2, 3), packed(values.reshape(3, 12).astype(np.int64), 4))
    return shades(values, 15)


# --- and what is refused ---------------------------------------------------------------------------------------------

@refusal("near-infrared.tif", "4 bands", "3 are colours")
def _(path):
    tifffile.imwrite(path, np.dstack([colours, opacity]), photometric="rgb", extrasamples=["unspecified"])


@refusal("fourth-band-untagged.tif", "4 bands")
def _(path):
    tiff(path, grey_tags(8, 2, 4), np.dstack([colours, opacity]).tobytes())


@refusal("six-bands.tif", "6 bands")
def _(path):
    tifffile.imwrite(path, np.dstack([colours, colours]), photometric="minisblack", planarconfig="contig")


@refusal("five-bands.tif", "5 bands")
def _(path):
    tifffile.imwrite(path, np.dstack([colours, opacity, opacity]), photometric="rgb", planarconfig="contig")


@refusal("three-bands-of-grey.tif", "3 bands, of which 1 are colours")
def _(path):
    tifffile.imwrite(path, colours, photometric="minisblack", planarconfig="contig")


@refusal("two-bands.tif", "2 bands")
def _(path):
    values = np.dstack([ramp, opacity])
    tifffile.imwrite(path, values, photometric="minisblack", extrasamples=["unspecified"], planarconfig="contig")


@refusal("fourth-component.j2k", "4 bands")
def _(path):
    Image.fromarray(np.dstack([colours, opacity])).save(path)


@refusal("nan.tif", "not finite")
def _(path):
    values = ramp.astype(np.float32)
    values[1, 1] = np.nan
    tifffile.imwrite(path, values)


@refusal("infinite.tif", "not finite")
def _(path):
    values = ramp.astype(np.float32)
    values[1, 1] = np.inf
    tifffile.imwrite(path, values)


@refusal("nan.pfm", "not finite")
def _(path):
    path.write_bytes(b"Pf\n1 1\n-1.0\n" + struct.pack("<f", float("nan")))


@refusal("float-large.tif", "neither 0 to 1 nor 0 to 255", "65535")
def _(path):
    tifffile.imwrite(path, np.linspace(0, 65535, 12, dtype=np.float32).reshape(shape))


@refusal("float-negative.tif", "neither 0 to 1 nor 0 to 255")
def _(path):
    tifffile.imwrite(path, np.linspace(-1, 1, 12, dtype=np.float32).reshape(shape))


@refusal("float-slightly-large.tif", "neither 0 to 1 nor 0 to 255")
def _(path):
    tifffile.imwrite(path, np.linspace(0, 4, 12, dtype=np.float32).reshape(shape))


@refusal("signed-negative.tif", "which of them is black")
def _(path):
    tifffile.imwrite(path, np.arange(-6, 6, dtype=np.int16).reshape(shape) * 100)


@refusal("complex.tif", "not read here")
def _(path):
    tifffile.imwrite(path, ramp.astype(np.complex64))


@refusal("uneven.tif", "5, 6, 5")
def _(path):
    tiff(path, grey_tags(8, 2, 3, t258=(3, [5, 6, 5])), bytes(24))


@refusal("three-bytes.tif", "not read here", "bits 24")
def _(path):
    tiff(path, grey_tags(24), bytes(36))


@refusal("strange-codec.tif", "compression (number 33003")
def _(path):
    tiff(path, grey_tags(16, t259=(3, [33003])), bytes(24))


@refusal("colour-filter.tif", "kind 32803")
def _(path):
    tiff(path, grey_tags(16, 32803), bytes(24))


@refusal("sub-sampled.tif", "half the resolution")
def _(path):
    tiff(path, grey_tags(8, 6, 3), bytes(36))


@refusal("without-meaning.tif", "PhotometricInterpretation")
def _(path):
    tags = grey_tags(8)
    del tags[262]
    tiff(path, tags, bytes(12))


@refusal("cut-deep.tif", "truncated")
def _(path):
    tiff(path, grey_tags(16), bytes(24))
    tags = grey_tags(16, t279=(4, [1000]), t257=(3, [300]), t278=(3, [300]))
    tiff(path, tags, bytes(24))


@refusal("cut.jpg", "truncated")
def _(path):
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(held, "JPEG")
    path.write_bytes(held.getvalue()[:1500])


@refusal("cut.png", "truncated")
def _(path):
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(held, "PNG")
    path.write_bytes(held.getvalue()[:1500])


@refusal("postscript.jpg", "of no kind of picture")
def _(path):
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


@refusal("drawing.svg", "of no kind of picture", "cairosvg reads .svg")
def _(path):
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')


@refusal("page.jpg", "of no kind of picture")
def _(path):
    path.write_text("<!DOCTYPE html><html><body>403 Forbidden</body></html>")


@refusal("letter.pdf", "pypdfium2 reads .pdf")
def _(path):
    path.write_text("%PDF-1.4\n")


@refusal("phone.heic", "pillow-heif reads .heic")
def _(path):
    path.write_bytes(struct.pack(">L4s4sL4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + bytes(100))


@refusal("empty.png", "of no kind of picture")
def _(path):
    path.touch()


@refusal("bomb.png", "more than 100,000,000 pixels")
def _(path):
    png(path, 8, 0, [b"\0"])
    content = path.read_bytes()
    head = b"IHDR" + struct.pack(">LLBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    path.write_bytes(content[:12] + head + struct.pack(">L", zlib.crc32(head)) + content[33:])


@refusal("bomb.tif", "pixels")
def _(path):
    tiff(path, grey_tags(16, t256=(4, [50_000]), t257=(4, [50_000]), t278=(4, [50_000])), bytes(100))


@refusal("many-bytes.tif", "bytes each")
def _(path):
    tags = grey_tags(64, 2, 3, t339=(3, [3]), t256=(4, [9_000]), t257=(4, [9_000]), t278=(4, [9_000]))
    tiff(path, tags, bytes(100))


@refusal("letters.png", "too large")
def _(path):
    text = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
    png(path, 8, 0, [row.tobytes() for row in ramp], text)


# --- the tests -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", kinds)
def test_kind(name, tmp_path):
    write, tolerance = kinds[name]
    path = tmp_path / name
    expected = np.asarray(write(path)).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing was guessed
        pixels = read_image(path)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= tolerance, f"{pixels[:, :, 0]}\n{expected[:, :, 0]}"
    held = pixels_of(path.read_bytes())  # as it comes from the network
    assert (held == pixels).all()


@pytest.mark.parametrize("name", refused)
def test_refusal(name, tmp_path):
    write, words = refused[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(InputError) as caught:
        read_image(path)
    said = str(caught.value)
    assert said.startswith(f"Expected an image that can be read, got {path}: ")
    for word in words:
        assert word in said, said


def test_there_are_many_kinds():
    assert len(kinds) >= 60


@pytest.mark.parametrize(("white", "deepest", "name"), [(4095, np.uint16, "a.tif"), (255, np.uint16, "a.tif"),
                         (255, np.uint32, "a.tif"), (65535, np.uint32, "a.tif"), (255, np.int32, "a.tif"),
                         (4095, np.int16, "a.tif"), (4095, np.uint16, "a.png")])
def test_a_guess_is_said(white, deepest, name, tmp_path):
    path = tmp_path / name
    values = (np.arange(12).reshape(shape) * (white // 11)).astype(deepest)
    if name.endswith("tif"):
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path)
    with pytest.warns(UserWarning, match="was taken for it"):
        pixels = read_image(path)
    assert (pixels == grey(shades(values, white))).all()
    large = tmp_path / f"large-{name}"
    Image.fromarray(np.kron(values, np.ones((20, 20), values.dtype)).astype(values.dtype)).save(large)
    found = check_images(pd.DataFrame(dict(path=[str(large)])), progress=False)
    assert list(found.problem) == ["depth not declared"]


def test_nothing_is_started_for_postscript(tmp_path, monkeypatch):
    for name in ("gs", "gswin64c", "gswin32c"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "photo.jpg"
    refused["postscript.jpg"][0](path)
    with pytest.raises(InputError):
        read_image(path)
    check_images(pd.DataFrame(dict(path=[str(path)])), progress=False)
    assert not (tmp_path / "started").exists()


def test_forms_of_one_picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(lying(colours, 6)).save(path, exif=exif(6))
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes()),
             io.BytesIO(path.read_bytes()), Image.open(path), colours, colours / np.float32(255), colours / 255,
             torch.from_numpy(colours).permute(2, 0, 1), torch.from_numpy(colours).permute(2, 0, 1) / 255,
             torch.from_numpy(colours / 255).permute(2, 0, 1).requires_grad_()]
    for form in forms:
        assert (pixels_of(form) == colours).all(), type(form)
    with open(path, "rb") as file:
        assert (pixels_of(file) == colours).all()
    for form in (ramp, ramp[:, :, None], ramp / 255, torch.from_numpy(ramp)[None], Image.fromarray(ramp)):
        assert (pixels_of(form) == grey(ramp)).all(), type(form)
    assert (pixels_of(ramp > 100) == grey((ramp > 100) * 255)).all()
    see_through = Image.fromarray(np.dstack([colours, opacity]))
    assert (pixels_of(see_through) == on_white(colours, opacity)).all()
    for mode in ("P", "PA", "CMYK", "HSV", "YCbCr", "RGBX", "RGBa", "La", "LA", "1", "I", "F", "I;16"):
        base = see_through if mode in ("RGBa",) else Image.fromarray(grey(ramp).astype(np.uint8))
        base = base.convert("LA" if mode == "La" else "L") if mode in ("La", "I;16", "I", "F") else base
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert pixels_of(base.convert(mode)).shape == (*shape, 3), mode


bad_forms = {
    "four bands": (np.dstack([colours, opacity]), "PIL image"),
    "bands first": (np.zeros((3, 5, 7), np.uint8), "transpose(1, 2, 0)"),
    "a batch": (np.stack([colours] * 2), "one by one"),
    "a batch of tensors": (torch.zeros(2, 3, 5, 5), "one by one"),
    "tensor of four bands": (torch.zeros(4, 5, 5), "(3, H, W)"),
    "too bright": (colours.astype(float), "0 to 1"),
    "negative": (colours / 255 - 0.5, "0 to 1"),
    "not a number": (np.full((3, 4, 3), np.nan), "0 to 1"),
    "sixteen bits": (colours.astype(np.uint16), "uint8"),
    "whole numbers": (colours.astype(int), "uint8"),
    "empty": (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
    "words": (np.array([["a"]]), "uint8"),
    "a number": (7, "got int"),
    "nothing": (None, "got NoneType"),
    "bytes of a letter": (b"Dear reader", "11 bytes"),
    "no bytes": (b"", "0 bytes"),
}


@pytest.mark.parametrize("name", bad_forms)
def test_other_forms_are_refused(name):
    form, words = bad_forms[name]
    with pytest.raises(InputError) as caught:
        pixels_of(form)
    assert words in str(caught.value)


def test_a_picture_that_pillow_opened_is_not_trusted_further(tmp_path):
    path = tmp_path / "near-infrared.tif"
    refused["near-infrared.tif"][0](path)
    tiff(path, grey_tags(8, 2, 4), np.dstack([colours, opacity]).tobytes())
    with Image.open(path) as picture, pytest.raises(InputError, match="4 bands"):
        assert picture.mode == "RGBA"
        pixels_of(picture)
    path = tmp_path / "print.eps"
    refused["postscript.jpg"][0](path)
    with Image.open(path) as picture, pytest.raises(InputError, match="Ghostscript"):
        pixels_of(picture)


def test_every_ending_that_pillow_writes_is_read(tmp_path):
    Image.init()
    points = np.full((32, 32), 255, np.uint8)
    for ending in pictures.image_types:
        path = tmp_path / f"a{ending}"
        saver = Image.registered_extensions().get(ending)
        if saver in Image.SAVE:
            mode = "1" if saver in ("MSP", "XBM") else "RGB"
            mode = "F" if ending == ".pfm" else mode
            picture = Image.fromarray(points).convert(mode)
            if mode == "F":
                picture = picture.point(lambda value: value * (1 / 255) + 0)
            picture.save(path)
            assert (read_image(path) >= 254).all(), ending


def test_damaged_files_are_read_or_refused(tmp_path):
    damage = np.random.default_rng(0)
    some = ["rgb16.png", "flat.jpg", "clear.gif", "clear.jp2", "clear.tga", "clear.webp", "twelve-bits.ppm"]
    some += ["palette.tif", "tiles16-deflate.tif", "grey-12-bits-black-0-big.tif", "float-predictor.tif"]
    for name in some:
        path = tmp_path / name
        kinds[name][0](path)
        content = path.read_bytes()
        for _ in range(25):
            changed = np.frombuffer(content, np.uint8).copy()
            end = min(len(changed), damage.choice([30, 300, 100_000]))
            changed[damage.integers(end, size=damage.choice([1, 4]))] = damage.integers(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    pixels = pixels_of(changed.tobytes())
                except InputError:
                    continue
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


def test_a_name_of_no_file_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="found none at"):
        pixels_of(str(tmp_path / "nowhere.png"))


peak = """
import resource, sys
from siamese_nbdev.pictures import read_pixels
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_pixels(path)
    except ValueError:
        pass
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_memory_stays_near_the_picture(tmp_path):
    pages = tmp_path / "pages.tif"
    blank = np.zeros((3000, 3500), np.uint8)
    tifffile.imwrite(pages, (blank for _ in range(12)), shape=(12, *blank.shape), dtype=np.uint8, compression="zlib")
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (4000, 4000), (10, 20, 30, 40)).save(clear, compress_level=1)
    bomb = tmp_path / "bomb.png"
    refused["bomb.png"][0](bomb)
    said = subprocess.check_output([sys.executable, "-c", peak, str(bomb), str(pages), str(clear)], text=True)
    for path, most, megabytes in zip((bomb, pages, clear), (20, 100, 300), said.split(), strict=True):
        assert float(megabytes) < most, f"{path.name} took {megabytes} MB"


def text(words):
    "Return a tag of text."
    return 2, [*words.encode(), 0]


tiles_alone = {273: None, 278: None, 279: None, 324: (4, [8]), 325: (4, [99])}
# Tags that hold text, or numbers that nobody expects: {name: tags}
hostile_tags = {
    "bands without end": {277: (4, [40_000_000])},
    "bands below zero": {277: (9, [-1])},
    "bands of text": {277: text("999")},
    "width of text": {256: text("999"), 257: (4, [200_000_000])},
    "height of text": {257: text("999"), 256: (4, [200_000_000])},
    "width of bytes": {256: (1, [200, 200, 200]), 257: (4, [200_000_000])},
    "both of text": {256: text("9"), 257: text("9")},
    "width below zero": {256: (9, [-4])},
    "width of nothing": {256: (4, [0])},
    "decimal width": {256: (12, [1e300])},
    "width of no number": {256: (11, [float("nan")])},
    "bits without end": {258: (4, [4_000_000_000])},
    "bits below zero": {258: (8, [-8])},
    "bits of text": {258: text("8" * 1000)},
    "compression of text": {259: text("1" * 100_000)},
    "meaning of text": {262: text("1" * 100_000)},
    "rows of text": {258: (3, [16]), 278: text("3")},
    "rows below zero": {258: (3, [16]), 278: (9, [-3])},
    "no rows": {258: (3, [16]), 278: (4, [0])},
    "offsets of text": {258: (3, [16]), 273: text("8")},
    "offsets below zero": {258: (3, [16]), 273: (9, [-8])},
    "sizes below zero": {258: (3, [16]), 279: (9, [-1])},
    "tiles of text": {258: (3, [16]), 322: text("16"), 323: (4, [16])} | tiles_alone,
    "tiles without end": {258: (3, [1]), 322: (4, [1 << 30]), 323: (4, [1])} | tiles_alone,
    "high tiles": {258: (3, [2]), 259: (3, [8]), 322: (4, [16]), 323: (4, [1 << 24])} | tiles_alone,
    "tiles and strips": {258: (3, [16]), 278: (4, [1]), 273: (4, [8] * 9999), 322: (4, [16]), 323: (4, [16])},
    "many strips": {258: (3, [1]), 278: (4, [3]), 273: (4, [8] * 50_000), 279: (4, [3] * 50_000)},
    "range of text": {258: (3, [16]), 340: text("a" * 1000), 341: text("b")},
    "predictor of text": {258: (3, [16]), 317: text("2" * 1000)},
    "order of text": {258: (3, [16]), 266: text("2" * 1000)},
    "planes of text": {258: (3, [16]), 284: text("2")},
}
given_up = """
import resource, sys, tracemalloc
from siamese_nbdev.checks import InputError
from siamese_nbdev.pictures import read_pixels
from siamese_nbdev.server import Rules, check_upload
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
tracemalloc.start()
for path in sys.argv[1:]:
    for look in (read_pixels, lambda path: check_upload(open(path, "rb").read(), Rules())):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            look(path)
            said = "read"
        except InputError as error:
            said = str(error).replace(path, "")
        print(tracemalloc.get_traced_memory()[1] - before, len(said), said)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits itself as other systems can")
def test_hostile_tags_take_no_memory(tmp_path):
    read_image(write_plain(tmp_path / "warm.tif"))
    paths = []
    for name, tags in hostile_tags.items():
        paths.append(tmp_path / f"{name.replace(' ', '-')}.tif")
        tiff(paths[-1], grey_tags(8) | tags, bytes(100))
    files = [tmp_path / "warm.tif", *paths]
    lines = subprocess.check_output([sys.executable, "-c", given_up, *map(str, files)], text=True).splitlines()
    for number, line in enumerate(lines[2:]):
        peak, length, said = line.split(" ", 2)
        assert int(peak) < 8_000_000 and int(length) < 400, (paths[number // 2].name, line)
        assert number % 2 or said != "read", paths[number // 2].name


def write_plain(path):
    "Write a grey picture of 16 bits."
    tiff(path, grey_tags(16) | {281: (3, [65535])}, bytes(24))
    return path


@pytest.mark.parametrize("compression", [1, 8])
def test_strips_that_share_their_bytes_are_refused(compression, tmp_path):
    path = tmp_path / "shared.tif"
    rows = 4000
    content = bytes(8) if compression == 1 else zlib.compress(bytes(8))
    tags = grey_tags(16) | {
        257: (4, [rows]), 259: (3, [compression]), 273: (4, [8] * rows), 278: (4, [1]), 281: (3, [65535]),
    }
    tiff(path, tags | {279: (4, [len(content)] * rows)}, content)
    assert read_image(path).shape == (rows, 4, 3), "little is shared"
    tiff(path, tags | {279: (4, [400_000] * rows)}, content + bytes(400_000))
    with pytest.raises(InputError, match="more bytes than the file"):
        read_image(path)


def test_an_icon_is_as_large_as_what_lies_in_it(tmp_path, monkeypatch):
    within = io.BytesIO()
    Image.new("RGB", (3000, 2000)).save(within, "PNG")
    late = within.getvalue()  # Pillow believes the last of two heads
    head = struct.pack(">4sLLBBBBB", b"IHDR", 16, 16, 8, 2, 0, 0, 0)
    late = late[:8] + struct.pack(">L", 13) + head + struct.pack(">L", zlib.crc32(head)) + late[8:]
    bitmap = io.BytesIO()
    Image.new("RGB", (2000, 3000)).save(bitmap, "DIB")
    monkeypatch.setattr(pictures, "max_pixels", 2_000_000)

    def decoded(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(PngImageFile, "load", decoded)
    monkeypatch.setattr(DibImageFile, "load", decoded)
    for content in (within.getvalue(), late, bitmap.getvalue()):
        entries = struct.pack("<4BHHLL", 16, 16, 0, 0, 1, 24, len(content), 22)
        icon = b"\0\0\1\0\1\0" + entries + content
        path = tmp_path / "a.ico"
        path.write_bytes(icon)
        with pytest.raises(InputError, match="more than 2,000,000"):
            read_image(path)
        with pytest.raises(InputError, match="more than 1,000,000"):
            check_upload(icon, Rules(max_pixels=1_000_000))
    path.write_bytes(b"\0\0\1\0" + struct.pack("<H", 60_000) + entries * 60_000)
    with pytest.raises(InputError, match="an icon of 60,000 pictures"):
        read_image(path)
    path.write_bytes(b"\0\0\1\0\1\0" + entries)
    with pytest.raises(InputError):
        read_image(path)


def test_large_pictures_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "many_pixels", 100)
    paths = []
    for number in range(6):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(np.full((40, 40, 4), number * 40, np.uint8)).save(paths[-1])
    inside, most = 0, 0
    real = pictures.from_pillow

    def watched(*arguments):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.01)
        decoded = real(*arguments)
        inside -= 1
        return decoded

    monkeypatch.setattr(pictures, "from_pillow", watched)
    assert not len(check_images(pd.DataFrame(dict(path=paths)), progress=False))
    assert most == 1
