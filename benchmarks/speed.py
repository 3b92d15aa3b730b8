"""Start-up and throughput of the packaged bundle, and the size of an installation."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table, data_folder, millscale

REPEATS = 5
FLOORS = {"millscale": (".", 250), "millscale[learn]": (".[learn]", 600)}


def main() -> None:
    data = data_folder("neu-cls")
    table = Table("speed", "Start-up, throughput and size", ("what", "measured", "wanted"))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        one = str(next(data.rglob("*.bmp")))
        table.add("`millscale --help`", f"{_median('--help', cache=cache):.2f} s", "< 0.3 s")
        table.add("`millscale inspect` of one image, cold", f"{_median('inspect', one, cache=cache):.2f} s", "≤ 1.5 s")
        several = "`millscale inspect` of 1800 BMP 200×200"
        table.add(f"{several}, verdicts and boxes", _throughput(data, cache), "")
        table.add(f"{several}, verdicts alone (`--no-boxes`)", _throughput(data, cache, "--no-boxes"), "≥ 150 images/s")
        for name, (requirement, limit) in FLOORS.items():
            table.add(f"installed size of `{name}`", f"{_installed_size(requirement, cache):.0f} MB", f"≤ {limit} MB")
    table.save()


def _median(*arguments: str, cache: Path) -> float:
    return statistics.median(_seconds(*arguments, cache=cache) for _ in range(REPEATS))


def _seconds(*arguments: str, cache: Path) -> float:
    start = time.perf_counter()
    millscale(*arguments, cache=cache)
    return time.perf_counter() - start


def _throughput(data: Path, cache: Path, *options: str) -> str:
    words = ("inspect", str(data), "--json", *options)
    images = len(millscale(*words, cache=cache).stdout.splitlines())
    whole = statistics.median(_seconds(*words, cache=cache) for _ in range(REPEATS))
    return f"{images / whole:.0f} images/s, start-up included ({images} images in {whole:.1f} s)"


def _installed_size(requirement: str, folder: Path) -> float:
    """MB that a fresh environment grows by."""
    root = Path(__file__).parent.parent
    place = folder / "venv"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", str(place)], check=True)
    before = _size(place)
    install = [*uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), requirement]
    subprocess.run(install, cwd=root, check=True)
    return (_size(place) - before) / 1e6


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
