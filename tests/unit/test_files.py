"""File names and content types are determined safely, whatever the client sends."""

import io

import pytest

from core.files import PLAIN_TEXT, UNKNOWN, clean_name, inspect

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\alice\\notes.txt", "notes.txt"),
        ("Grüße ☔ 日本.txt", "Grüße ☔ 日本.txt"),
        ('say "hi".txt', 'say "hi".txt'),
        ("two\r\nlines\x00.txt", "twolines.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("  spaced  ", "spaced"),
        ("half\ud800", "half"),
        ("x" * 300, "x" * 255),
        ("..", ""),
        ("dir/", ""),
        ("\n", ""),
        ("", ""),
    ],
)
def test_a_file_name_is_cleaned(offered: str, kept: str) -> None:
    assert clean_name(offered) == kept


@pytest.mark.parametrize(
    ("content", "name", "content_type"),
    [
        (PNG, "x", "image/png"),
        (PNG, "page.html", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "x.jpg", "image/jpeg"),
        (b"%PDF-1.7\n%\xe2\xe3\n", "x.pdf", "application/pdf"),
        (b"%PDF-1.7\n", "x.png", "application/pdf"),
        (b"PK\x03\x04" + bytes(60), "x", "application/zip"),
        (b"PK\x03\x04" + bytes(60), "x.zip", "application/zip"),
        (b"<html><script>alert(1)</script>", "x.png", PLAIN_TEXT),
        (b"<!DOCTYPE html><html>", "x.html", PLAIN_TEXT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "x.svg", PLAIN_TEXT),
        (b"\xff<html><script>alert(1)</script>", "x.html", UNKNOWN),
        ("naïve ☔".encode(), "x.jpg", PLAIN_TEXT),
        (b"BM is how this text begins", "x.txt", PLAIN_TEXT),
        (b"", "x.png", PLAIN_TEXT),
        (b"\x00\x01\x02", "x.txt", UNKNOWN),
        ("☔".encode()[:2], "x.txt", UNKNOWN),
    ],
)
def test_the_type_follows_the_content_and_is_never_html_or_svg(content: bytes, name: str, content_type: str) -> None:
    assert inspect(io.BytesIO(content), name).content_type == content_type


def test_the_suffix_chooses_between_types_that_share_their_bytes() -> None:
    """Bytes that several formats begin with are of the type whose suffix the file has."""
    riff = b"RIFF" + bytes(4)

    assert inspect(io.BytesIO(riff), "x.wav").content_type == "audio/wav"
    assert inspect(io.BytesIO(riff), "x.avi").content_type.endswith("avi")


def test_the_library_that_detects_types_is_given_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its second version opens the file of a given name, such as `.env` in the working directory."""
    given: list[object] = []

    def detect(*arguments: object, **options: object) -> list[object]:
        given.extend((*arguments, *options.values()))
        return []

    monkeypatch.setattr("puremagic.magic_stream", detect)
    content = io.BytesIO(PNG)
    inspect(content, "pyproject.toml")

    assert given == [content]


def test_text_is_decoded_across_chunks() -> None:
    assert inspect(io.BytesIO(b"x" + "☔".encode() * 200_000), "x").content_type == PLAIN_TEXT


def test_size_and_hash_cover_the_whole_file() -> None:
    facts = inspect(io.BytesIO(b"abc"), "x")

    assert (facts.size, facts.sha256) == (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
