"""Anomalib's PatchCore on given files, in an environment of its own.

The job comes on standard input; the last line of the output holds the figures.
It imports nothing of millscale, and nothing of millscale imports it: see `benchmarks.anomaly`.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms.v2 import Compose, Normalize, Resize
from torchvision.transforms.v2.functional import pil_to_tensor

SIDE, CORESET, NEIGHBOURS = 256, 0.01, 9
PREPARE = Compose(
    [Resize((SIDE, SIDE), antialias=True), Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))]
)
BATCH, TIMED_BATCHES = 32, (1, 16)


def main() -> None:
    job = json.load(sys.stdin)
    torch.manual_seed(0)
    torch.set_num_threads(job["threads"])
    with contextlib.redirect_stdout(sys.stderr), torch.inference_mode():
        model = PatchcoreModel(
            layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False, num_neighbors=NEIGHBOURS
        )
        _give_weights(model, job["weights"])
        start = _now()
        model.train()
        model.feature_extractor.eval()
        for batch in _batches(job["fitted"], BATCH, job["threads"]):
            model(batch)
        model.subsample_embedding(CORESET)
        fit = _since(start)
        model.eval()
        answers = [model(batch) for batch in _batches(job["judged"], BATCH, job["threads"])]
        passes: dict[int, list[list[float]]] = {}
        for size in TIMED_BATCHES:
            for _ in range(job["repeats"]):
                start = _now()
                for batch in _batches(job["timed"], size, job["threads"]):
                    model(batch)
                passes.setdefault(size, []).append([each / len(job["timed"]) for each in _since(start)])
        scores = torch.cat([answer.pred_score.reshape(-1) for answer in answers]).tolist()
    print(json.dumps({"fit": fit, "passes": passes, "scores": scores, "bank": len(model.memory_bank)}))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> list[float]:
    return [now - then for now, then in zip(_now(), start, strict=True)]


def _give_weights(model: PatchcoreModel, path: str) -> None:
    """Refuse a file that leaves a layer in use at its random weights."""
    network = model.feature_extractor.feature_extractor
    missing, _ = network.load_state_dict(load_file(path), strict=False)
    left = [name for name in missing if not name.startswith("layer4") and not name.endswith("num_batches_tracked")]
    if left:
        raise SystemExit(f"{path}: expected the weights of ResNet18 up to layer 3, missed {', '.join(left[:3])}.")


def _batches(paths: Sequence[str], size: int, threads: int) -> Iterator[torch.Tensor]:
    """``(n, 3, SIDE, SIDE)``, decoded ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[torch.Tensor] = []
        for image in pool.map(_read, paths):
            waiting.append(image)
            if len(waiting) == size:
                yield torch.stack(waiting)
                waiting.clear()
        if waiting:
            yield torch.stack(waiting)


def _read(path: str) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = pil_to_tensor(image.convert("RGB"))
    return PREPARE(pixels.float() / 255)


if __name__ == "__main__":
    main()
