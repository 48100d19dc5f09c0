"""The forms of results in one folder: those of a run, and those of a comparison."""

from host_ctl.report.files import COMPARISON_FILES, REPORT_FILES, write_comparison, write_html, write_reports
from host_ctl.report.html import render_html
from host_ctl.report.junit import render_junit

__all__ = [
    "COMPARISON_FILES",
    "REPORT_FILES",
    "render_html",
    "render_junit",
    "write_comparison",
    "write_html",
    "write_reports",
]
