"""The files of the console: taken from known packages, small, complete, and without a request to another host."""

import base64
import hashlib
import io
import json
import re
import tarfile
from posixpath import normpath

import pytest

from api.console import vendor_libraries
from api.console.files import ROOT, File, console
from api.console.texts import SCRIPTS, marked_texts
from api.console.vendor_libraries import DIRECTORY, LIST, RefusedPackageError, files_of, integrity_of
from core.messages import LANGUAGES, msg, translate
from core.services.audit import ACTIONS
from core.weather.conditions import CONDITIONS

LISTED = json.loads(LIST.read_text(encoding="utf-8"))
OWN_SCRIPTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(SCRIPTS.rglob("*.js"))}
OWN_STYLES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "web/styles").glob("*.css"))}
LARGEST_TOTAL = 200_000
LONGEST_MODULE = 320


class TestVendoredLibraries:
    def test_the_files_are_those_that_were_checked(self) -> None:
        kept = {path.name: integrity_of(path.read_bytes()) for path in DIRECTORY.iterdir() if path != LIST}

        assert kept == LISTED["hashes"]

    @pytest.mark.parametrize("package", LISTED["packages"], ids=lambda package: package["name"])
    def test_each_package_has_an_exact_version_and_its_licence(self, package: dict[str, str]) -> None:
        licences = [name for name in package["files"] if name == "LICENSE"]

        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
        assert licences == ["LICENSE"]
        assert package["license"] in {"MIT", "Apache-2.0"}

    def test_a_package_with_another_hash_is_refused(self) -> None:
        package = LISTED["packages"][0]

        with pytest.raises(RefusedPackageError, match=package["name"]):
            files_of(package, b"something else")

    def test_scripts_of_a_package_import_their_neighbours_by_address(self) -> None:
        archive = io.BytesIO()
        script = b'import{h}from"preact";export{h};\n//# sourceMappingURL=x.map\n'
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            entry = tarfile.TarInfo("package/dist/x.mjs")
            entry.size = len(script)
            tar.addfile(entry, io.BytesIO(script))
        content = archive.getvalue()
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()

        kept = files_of(
            {"name": "x", "version": "1.0.0", "integrity": f"sha512-{digest}", "files": {"dist/x.mjs": "x.js"}}, content
        )

        assert kept == {"x.js": b'import{h}from"./preact.js";export{h};'}

    def test_every_renamed_import_is_one_of_the_files(self) -> None:
        addresses = vendor_libraries._ADDRESSES.values()  # noqa: SLF001 - the table has no other reader.

        assert {address.removeprefix("./") for address in addresses} <= set(LISTED["hashes"])


class TestFiles:
    def test_all_files_together_are_small(self) -> None:
        page = File.of(console().page.encode(), "text/html")
        everything = [page, console().worker_for(page), *console().files.values()]

        assert sum(len(file.compressed) for file in everything) <= LARGEST_TOTAL

    def test_every_import_names_a_file(self) -> None:
        missing = [
            (path, address)
            for path, source in OWN_SCRIPTS.items()
            for address in re.findall(r'(?:from |import\()"(\.[^"]+)"', source)
            if normpath(f"{path}/../{address}") not in console().files
        ]

        assert missing == []

    def test_every_module_is_reached_from_the_first_one(self) -> None:
        assert set(OWN_SCRIPTS) - set(console().modules) == set()

    def test_nothing_comes_from_another_host(self) -> None:
        sources = OWN_SCRIPTS | OWN_STYLES | {"index.html": console().page}

        assert [name for name, source in sources.items() if re.search(r"https?://|//cdn|@import|url\(", source)] == []

    def test_the_page_has_neither_scripts_nor_styles_in_itself(self) -> None:
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", console().page) == []

    @pytest.mark.parametrize("path", OWN_SCRIPTS)
    def test_each_module_is_short_and_says_what_it_is_for(self, path: str) -> None:
        source = OWN_SCRIPTS[path]

        assert source.startswith("/**")
        assert len(source.splitlines()) <= LONGEST_MODULE


class TestTexts:
    def test_each_action_of_the_audit_log_has_a_name(self) -> None:
        script = OWN_SCRIPTS["web/js/pages/operations_logs.js"]
        named = re.findall(r'^  "([a-z_.]+)": \(\) => msg\(', script, re.MULTILINE)

        assert named == list(ACTIONS)

    def test_texts_are_literals_so_that_they_are_found(self) -> None:
        calls = [
            (path, call)
            for path, source in OWN_SCRIPTS.items()
            for call in re.findall(r"\bmsg\((?!\s*\"|text\b)[^)]*", source)
        ]

        assert calls == []

    def test_every_condition_of_a_forecast_has_a_name_in_each_language(self) -> None:
        assert set(CONDITIONS.values()) - set(marked_texts()) == set()

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_texts_are_sent_in_each_language(self, language: str) -> None:
        sent = json.loads(console().files[f"texts/{language}.json"].content)

        assert sent == [translate(msg(text), language) for text in marked_texts()]
        assert (sent == marked_texts()) == (language == "en")
