"""Take the libraries of the console from the npm registry: `python -m api.console.vendor_libraries`.

`vendor/packages.json` names each package with its version, its licence, the SHA-512 hash that the registry publishes
(`npm view NAME@VERSION dist.integrity`), and the files to keep. A package whose hash is another one is refused. The
hashes of the files as they are kept are written into the same document, and a test compares the files with them.
"""

import base64
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any, Final

import requests

DIRECTORY: Final = Path(__file__).parent / "vendor"
LIST: Final = DIRECTORY / "packages.json"

_REGISTRY: Final = "https://registry.npmjs.org"
_TIMEOUT_SECONDS: Final = 30
# Browsers find a module by its address, not by the name of its package, and a map from names to addresses would have to
# stand in the page itself, which the content security policy forbids.
_ADDRESSES: Final = {
    "preact": "./preact.js",
    "preact/hooks": "./preact-hooks.js",
    "@preact/signals-core": "./signals-core.js",
}
_IMPORT: Final = re.compile(r'\bfrom\s*"([^"./][^"]*)"')
_SOURCE_MAP: Final = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")
# This file is made for `<script>`: it only declares a variable, so the module has to export it.
_EXPORTS: Final = {"uplot.js": "\nexport default uPlot;\n"}


class RefusedPackageError(Exception):
    """A package is not the one that the list names."""


def integrity_of(content: bytes) -> str:
    """Return the hash of some bytes as npm writes it: `sha512-` and the SHA-512 hash in Base64."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


def files_of(package: dict[str, Any], archive: bytes) -> dict[str, bytes]:
    """Return the files to keep of a package, by their names in `vendor/`.

    Raises:
        RefusedPackageError: if the archive is another one than the list names.
    """
    if integrity_of(archive) != package["integrity"]:
        raise RefusedPackageError(f"{package['name']} {package['version']} has the hash {integrity_of(archive)}")
    kept: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for source, name in package["files"].items():
            member = tar.extractfile(f"package/{source}")
            if member is None:
                raise RefusedPackageError(f"{package['name']} {package['version']} has no file {source}")
            kept[name] = _adapted(name, member.read())
    return kept


def _adapted(name: str, content: bytes) -> bytes:
    """Return a file as browsers can load it from a directory: scripts import their neighbours by address."""
    if not name.endswith(".js"):
        return content
    text = _IMPORT.sub(lambda match: f'from"{_ADDRESSES[match[1]]}"', content.decode())
    return (_SOURCE_MAP.sub("", text) + _EXPORTS.get(name, "")).encode()


def main() -> None:
    """Download all packages of the list, check them, and write their files and hashes."""
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    files: dict[str, bytes] = {}
    for package in listed["packages"]:
        name, version = package["name"], package["version"]
        response = requests.get(
            f"{_REGISTRY}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz", timeout=_TIMEOUT_SECONDS
        )
        response.raise_for_status()
        files |= files_of(package, response.content)
    for old in listed["hashes"].keys() - files.keys():
        (DIRECTORY / old).unlink(missing_ok=True)
    for name, content in files.items():
        (DIRECTORY / name).write_bytes(content)
    listed["hashes"] = {name: integrity_of(files[name]) for name in sorted(files)}
    LIST.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
