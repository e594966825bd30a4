"""Hold the cache of ffai pull against huggingface_hub's own reading and writing of it.

  .venv-tools/bin/python tools/check-hub-cache.py [--build build]

A hub on loopback (build/tests/serve_hub) has a small model. What ffai pull leaves is what huggingface_hub finds without
network, names, digests, revision and all, and downloads nothing of again; what huggingface_hub downloads ffai finds and
runs offline. The two caches have the same blobs, links and references. Exit status 77: no huggingface_hub.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "tests/golden/llama/f32"
NAME = "org/model"

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("HF_HUB_OFFLINE", None)  # read when the package is imported

try:
    from huggingface_hub import scan_cache_dir, snapshot_download
except ImportError:
    print("check-hub-cache: no huggingface_hub: tools/setup-venv")
    sys.exit(77)


def check(condition, what):
    if not condition:
        sys.exit(f"check-hub-cache: {what}")


def run(ffai, *arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    done = subprocess.run([str(ffai), *map(str, arguments)], capture_output=True, text=True,
                          env=environment | {"FFAI_TUNE": "off"} | {k: str(v) for k, v in variables.items()})
    check(done.returncode == 0, f"ffai {arguments[0]}: {done.stderr}")
    return done.stdout.strip()


def layout(repository):
    """What the documented parts of a repository's folder hold: path -> bytes of a file, or a link's target."""
    return {str(p.relative_to(repository)): os.readlink(p) if p.is_symlink() else p.read_bytes()
            for part in ("blobs", "refs", "snapshots") for p in sorted((repository / part).rglob("*"))
            if p.is_symlink() or p.is_file()}


def check_ours(ffai, address, work):
    """huggingface_hub on what ffai pulled."""
    cache = work / "ours"
    path = Path(run(ffai, "pull", NAME, HF_ENDPOINT=address, HF_HUB_CACHE=cache))
    found = Path(snapshot_download(NAME, cache_dir=cache, local_files_only=True))
    check(found == path, f"huggingface_hub finds {found}, ffai says {path}")
    report = scan_cache_dir(cache)
    check(not report.warnings, f"scan_cache_dir warns: {report.warnings}")
    (repository,) = report.repos
    (revision,) = repository.revisions
    check((repository.repo_id, repository.repo_type, set(revision.refs)) == (NAME, "model", {"main"}),
          f"scan_cache_dir has {repository}")
    names = {f.file_name for f in revision.files}
    check({"config.json", "model.safetensors", "tokenizer.json"} <= names, f"scan_cache_dir has the files {names}")
    for file in revision.files:
        check(file.file_path.read_bytes() == (MODEL / file.file_name).read_bytes(), f"{file.file_name} differs")
    return cache, names


def check_theirs(ffai, address, work, names):
    """ffai on what huggingface_hub downloaded."""
    cache = work / "theirs"
    path = snapshot_download(NAME, cache_dir=cache, endpoint=address, allow_patterns=sorted(names))
    check(run(ffai, "pull", NAME, HF_HUB_CACHE=cache, HF_HUB_OFFLINE=1) == path, "ffai finds another snapshot")
    (model,) = json.loads(run(ffai, "models", "--json", HF_HUB_CACHE=cache))["models"]
    check((model["name"], model["revisions"], model["snapshots"]) == (NAME, "main", 1), f"ffai models has {model}")
    flags = ["--tokens", "1,2,3", "-n", "4", "--temp", "0"]
    check(run(ffai, "generate", "-m", NAME, *flags, HF_HUB_CACHE=cache, HF_HUB_OFFLINE=1) ==
          run(ffai, "generate", "-m", MODEL, *flags), "ffai generates other text from it")
    check(json.loads(run(ffai, "models", "prune", "--json", HF_HUB_CACHE=cache)) == {"freed_bytes": 0},
          "ffai models prune removes some of it")
    return cache


def check_nothing_again(address, cache):
    """A full download over ffai's cache keeps its blobs as they lie."""
    blobs = cache / "models--org--model/blobs"
    before = {p.name: p.stat().st_ino for p in blobs.iterdir()}
    snapshot_download(NAME, cache_dir=cache, endpoint=address, allow_patterns=["*.json", "*.safetensors"])
    after = {p.name: p.stat().st_ino for p in blobs.iterdir()}
    check(before.items() <= after.items(), "huggingface_hub fetched again what was there")


def check_all(ffai, address, work):
    ours, names = check_ours(ffai, address, work)
    theirs = check_theirs(ffai, address, work, names)
    one, other = (layout(cache / "models--org--model") for cache in (ours, theirs))
    for path in sorted(one.keys() | other.keys()):
        check(one.get(path) == other.get(path), f"{path}: differs between the caches")
    check_nothing_again(address, ours)
    print(f"{len(one)} blobs, links and references are the same; each finds what the other downloaded")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    build = parser.parse_args().build
    with subprocess.Popen([build / "tests/serve_hub", MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as hub, tempfile.TemporaryDirectory() as work:
        try:
            check_all(build / "ffai", hub.stdout.readline().strip(), Path(work).resolve())
        finally:
            hub.stdin.close()


if __name__ == "__main__":
    main()
