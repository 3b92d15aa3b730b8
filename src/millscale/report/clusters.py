"""A report on images grouped without labels: its page and its figures."""

from matplotlib.figure import Figure

from millscale.report.cluster_selection import choose_members
from millscale.report.clusters_page import clusters_values
from millscale.report.figures.cluster_map import draw_cluster_map
from millscale.report.figures.contact import draw_contact
from millscale.report.figures.evidence import draw_evidence
from millscale.report.frame import Values
from millscale.report.report import ClusterReport


def clusters_contents(report: ClusterReport) -> tuple[Values, dict[str, Figure]]:
    """What the page says and the figures beside it by name, the images read from disk once."""
    shown = choose_members(report)
    figures = {"map": draw_cluster_map(report, shown), "members": draw_contact(report, shown)}
    if report.clusters.evidence:
        figures["number"] = draw_evidence(report.clusters)
    return clusters_values(report, shown), figures
