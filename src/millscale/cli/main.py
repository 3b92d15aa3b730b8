"""The ``millscale`` command: verb first. One file per verb; heavy imports stand inside the verbs."""

import sys
from io import TextIOWrapper

import typer

from millscale.cli import cluster, data, demo, doctor, ensemble, evaluate, explain, export, inspect, label, train

app = typer.Typer(
    name="millscale",
    help="Inspect metal surfaces: leak-safe training, calibrated verdicts, models that run beside the line.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo.demo)
app.add_typer(data.app, name="data")
app.command()(train.train)
app.command()(ensemble.ensemble)
app.command()(evaluate.evaluate)
app.command()(explain.explain)
app.command()(export.export)
app.command()(cluster.cluster)
app.command()(inspect.inspect)
app.add_typer(label.app, name="label")
app.command()(doctor.doctor)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),  # noqa: FBT001, FBT003
) -> None:
    if version:
        from millscale.core.version import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name that the console cannot show must not end the work
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    app()
