"""Nothing that opens a door is in git, and what usually holds it is ignored."""

import re
import subprocess

import pytest

from tests.projects import ROOT, run

SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "AWS key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}",
    "Prefect key": r"\bpn[ub]_[A-Za-z0-9]{36}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30}",
    "password in an address": r"[a-z]+://[^/\s:@\"'$<{]+:[^/\s:@\"'$<{]+@",
    "assigned secret": r"(?i)(password|secret|_key|auth_string)\s*[=:]\s*[\"']?[A-Za-z0-9+/]{16}",
}
EXAMPLES = {
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "AWS key": "AKIA" + "A" * 16,
    "GitHub token": "ghp_" + "a" * 36,
    "Prefect key": "pnu_" + "a" * 36,
    "Hugging Face token": "hf_" + "a" * 30,
    "password in an address": "https://" + "me:hidden@example.org",
    "assigned secret": "PASSWORD=" + "a" * 16,
}
ALLOWED = ("me:secret@", "user:password@", "USER:PASSWORD@")  # where passwords are spoken of


def find_secrets(text: str) -> list[str]:
    return [
        f"{kind}: {match[0]}"
        for kind, pattern in SECRETS.items()
        for match in re.finditer(pattern, text)
        if not any(word in match[0] for word in ALLOWED)
    ]


def test_no_secret_is_in_git() -> None:
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    found = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".lock"):
            found[name] = find_secrets(path.read_text(errors="replace"))
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_would_be_found(kind: str) -> None:
    assert find_secrets(f"first line\nkey: {EXAMPLES[kind]}\n")


@pytest.mark.parametrize(
    "path", [".dvc/config.local", ".env", ".env.local", "profiles.toml", "data/raw/images.npy"]
)
def test_what_holds_secrets_or_data_is_ignored(path: str) -> None:
    command = ["git", "check-ignore", "--quiet", path]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
