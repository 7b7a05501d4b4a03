"""Write a development PKI and the certificates the tests need, or one more client certificate.

python certs/make.py                        # certs/out
python certs/make.py --host xds.example.org /tmp/certs
python certs/make.py --client clinic        # certs/out/clinic.pem, clinic.key, clinic.p12
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from xds.security.pki import STORE_PASSWORD, KeyType, issue_client, write_test_material

OUTPUT = Path(__file__).parent / "out"


def main(arguments: list[str] | None = None) -> int:
    """Run the program; exit code 0, or 1 with a line on stderr when nothing could be written."""
    options = _parser().parse_args(arguments)
    try:
        if options.client:
            written = issue_client(options.directory, options.client)
        else:
            written = write_test_material(options.directory, options.host, key_type=KeyType(options.keys))
            _ignore(options.directory)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*written, sep="\n")
    print(f"For development and tests only. Password of the .p12 files: {STORE_PASSWORD}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make certificates for development and tests.")
    parser.add_argument("directory", nargs="?", type=Path, default=OUTPUT, help="where to write (default: certs/out)")
    parser.add_argument("--host", action="append", default=[], help="one more DNS name or IP address of the server")
    parser.add_argument(
        "--keys", choices=[kind.value for kind in KeyType], default=KeyType.RSA.value, help="kind of keys"
    )
    parser.add_argument(
        "--client", metavar="NAME", help="only issue one more client certificate from the directory's CA"
    )
    return parser


def _ignore(directory: Path) -> None:
    """Keep private keys out of git wherever the directory is."""
    with suppress(FileExistsError), (directory / ".gitignore").open("x") as file:
        file.write("*\n")


if __name__ == "__main__":
    sys.exit(main())
