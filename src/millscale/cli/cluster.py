"""``millscale cluster``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say, tell_all

if TYPE_CHECKING:
    from millscale.pipeline.cluster import Clustering


def cluster(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images; labels are not needed.")],
    clusters: Annotated[int | None, typer.Option(help="How many; by default estimated, 2 to 15.")] = None,
    method: Annotated[
        str, typer.Option(help="spherical_kmeans, spectral, or hdbscan, which leaves some images unsorted.")
    ] = "spherical_kmeans",
    backbone: Annotated[
        str | None,
        typer.Option(help="Frozen backbone: a name, a path to an ONNX file, or several joined by '+'."),
    ] = None,
    map_: Annotated[str, typer.Option("--map", help="pca, or umap where umap-learn is installed.")] = "pca",
    adapt: Annotated[bool, typer.Option("--adapt", help="Adapt the features to these images, without labels.")] = False,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME-clusters.")] = None,
    folders: Annotated[
        Path | None, typer.Option(help="Also copy the images there, one folder a cluster, to be named.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Group images by their looks, without labels, and show what speaks for it.

    Known labels, as of class folders, are not used; they score the result.
    """
    with failing_clearly():
        from millscale.data.read import read
        from millscale.features.backbone import DEFAULT_BACKBONE
        from millscale.pipeline.cluster import ClusterConfig
        from millscale.pipeline.cluster import cluster as run_clustering

        config = ClusterConfig(
            clusters=clusters,
            method=method,
            backbone=backbone or DEFAULT_BACKBONE,
            map=map_,
            adapt=adapt,
            seed=seed,
        )
        target = out or Path("runs") / f"{directory.resolve().name}-clusters"
        with Watch() as watch:
            found = run_clustering(read(directory), config, target, folders=folders, progress=watch)
        tell_all(found.problems)
        if as_json:
            emit(found.to_json())
        else:
            _summary(found, folders)


def _summary(found: "Clustering", folders: Path | None) -> None:
    result = found.clusters
    estimated = " (estimated)" if result.evidence else ""
    say(f"{result.count} clusters{estimated} of {len(found.manifest)} images in {found.groups} independent groups")
    for number, stable in enumerate(result.cluster_stability):
        images = int((result.labels == number).sum())
        say(f"  cluster_{number + 1:<4}{images:>6} images   stability {stable:.2f}")
    unsorted = int((result.labels < 0).sum())
    if unsorted:
        say(f"  unsorted    {unsorted:>6} images")
    say(f"Stability {result.stability:.2f}: agreement with clusterings of half the groups, 1 at best")
    if found.scores:
        say(f"Against the known labels: accuracy {found.scores.accuracy:.2%}, NMI {found.scores.nmi:.3f}")
    say(f"Report  {found.folder / 'report.html'}")
    if folders is not None:
        say(f"Folders {folders}: look at each, name it after what it shows, and train on it.")
    say(f"Took    {found.seconds:.1f} s")
