"""The forms of a run's results: report.json, report.html and junit.xml in one folder."""

from host_ctl.report.files import REPORT_FILES, write_html, write_reports
from host_ctl.report.html import render_html
from host_ctl.report.junit import render_junit

__all__ = ["REPORT_FILES", "render_html", "render_junit", "write_html", "write_reports"]
